"""Addresses of runs and failures."""

from django.urls import path

from workflows.views import alerts, bulks, controls, dry_runs, failures, quarantine, repairs, requests, runs, triggers

app_name = "workflows"
urlpatterns = [
    path("alerts/", alerts.index, name="alerts"),
    path("alerts/<int:pk>/acknowledge/", alerts.acknowledge, name="acknowledge_alert"),
    path("bulk/", bulks.index, name="bulks"),
    path("bulk/begin/", bulks.begin, name="begin_bulk"),
    path("bulk/<int:pk>/", bulks.show, name="bulk"),
    path("bulk/<int:pk>/start/", bulks.start, name="start_bulk"),
    path("bulk/<int:pk>/pause/", bulks.pause, name="pause_bulk"),
    path("bulk/<int:pk>/resume/", bulks.resume, name="resume_bulk"),
    path("bulk/<int:pk>/cancel/", bulks.cancel, name="cancel_bulk"),
    path("runs/", runs.index, name="runs"),
    path("runs/<int:pk>/", runs.show, name="run"),
    path("runs/<int:pk>/pause/", controls.pause, name="pause"),
    path("runs/<int:pk>/resume/", controls.resume, name="resume"),
    path("runs/<int:pk>/retry/", controls.retry, name="retry"),
    path("runs/<int:pk>/skip/", controls.skip, name="skip"),
    path("runs/<int:pk>/restart/", controls.restart, name="restart"),
    path("runs/<int:pk>/cancel/", controls.cancel, name="cancel"),
    path("runs/<int:pk>/prioritize/", controls.prioritize, name="prioritize"),
    path("triggers/", triggers.index, name="triggers"),
    path("requests/", requests.index, name="requests"),
    path("requests/<int:pk>/", requests.show, name="request"),
    path("requests/<int:pk>/send/", requests.send, name="send_request"),
    path("dry-runs/<int:pk>/", dry_runs.show, name="dry_run"),
    path("failures/", failures.index, name="failures"),
    path("failures/quarantine/", quarantine.index, name="quarantine"),
    path("failures/<int:pk>/", failures.show, name="failure"),
    path("failures/<int:pk>/acknowledge/", repairs.acknowledge, name="acknowledge"),
    path("failures/<int:pk>/hand-over/", repairs.hand_over, name="hand_over_failure"),
    path("failures/<int:pk>/resolve/", repairs.resolve, name="resolve"),
    path("failures/<int:pk>/ignore/", repairs.ignore, name="ignore_failure"),
    path("failures/<int:pk>/heed/", repairs.heed, name="heed_failure"),
    path("failures/<int:pk>/replay/", repairs.replay, name="replay"),
    path("failures/<int:pk>/replay/stop/", repairs.stop, name="stop_replay"),
]
