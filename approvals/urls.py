from django.urls import path

from approvals.views import case, claiming, deciding, escalations, leaving, queue, repairs, thresholds, time_off

app_name = "approvals"
urlpatterns = [
    path("queue/", queue.index, name="queue"),
    path("queue/news/", queue.news, name="queue_news"),
    path("queue/next/", claiming.take_next, name="take_next"),
    path("cases/<int:pk>/", case.page, name="case"),
    path("cases/<int:pk>/news/", case.news, name="case_news"),
    path("cases/<int:pk>/claim/", claiming.claim, name="claim"),
    path("cases/<int:pk>/hold/", claiming.hold, name="hold"),
    path("cases/<int:pk>/let-go/", claiming.let_go, name="let_go"),
    path("cases/<int:pk>/decide/", deciding.decide, name="decide"),
    path("cases/<int:pk>/take-back/", deciding.take_back, name="take_back"),
    path("cases/<int:pk>/escalate/", deciding.escalate, name="escalate"),
    path("cases/<int:pk>/object/", deciding.object_to, name="object"),
    path("cases/<int:pk>/correct/", repairs.correct, name="correct"),
    path("cases/<int:pk>/retry/", repairs.retry, name="retry"),
    path("cases/<int:pk>/reassign/", escalations.reassign, name="reassign"),
    path("time-off/", time_off.index, name="time_off"),
    path("time-off/agree/", time_off.agree, name="agree_time_off"),
    path("time-off/<int:pk>/call-off/", time_off.call_off, name="call_off"),
    path("leaving/", leaving.index, name="leaving"),
    path("leaving/news/", leaving.news, name="leaving_news"),
    path("leaving/<int:pk>/object/", leaving.object_to, name="leaving_object"),
    path("thresholds/", thresholds.index, name="thresholds"),
    path("trials/<int:pk>/", thresholds.trial, name="trial"),
    path("trials/<int:pk>/sums/", thresholds.sums, name="trial_sums"),
    path("thresholds/move/", thresholds.move, name="move_limits"),
    path("thresholds/<int:pk>/try/", thresholds.try_out, name="try_thresholds"),
    path("thresholds/<int:pk>/publish/", thresholds.publish, name="publish_thresholds"),
    path("thresholds/<int:pk>/discard/", thresholds.discard, name="discard_thresholds"),
    path("thresholds/<int:pk>/revert/", thresholds.revert, name="revert_thresholds"),
    path("escalations/", escalations.index, name="escalations"),
    path("escalations/news/", escalations.news, name="escalations_news"),
]
