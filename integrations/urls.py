"""Addresses at which outside systems knock, and the pages about them."""

from django.urls import path

from integrations import hooks
from integrations.reconciliation import recovering
from integrations.reconciliation import views as reconciliation
from integrations.views import channels, connection, connections, notice_settings, notices, provider, switches

app_name = "integrations"
urlpatterns = [
    path("hooks/<slug:organization>/<slug:endpoint>/", hooks.receive, name="receive"),
    path("sign-in/provider/", provider.start, name="provider"),
    path("sign-in/provider/back/", provider.back, name="provider_back"),
    path("sign-in/provider/connect/", provider.connect, name="connect_provider"),
    path("connections/", connections.index, name="connections"),
    path("connections/<int:pk>/", connection.show, name="connection"),
    path("connections/<int:pk>/pause/", connections.pause, name="pause"),
    path("connections/<int:pk>/resume/", connections.resume, name="resume"),
    path("connections/<int:pk>/operate/", connection.operate, name="operate"),
    path("connections/<int:pk>/end-maintenance/", connection.end_maintenance, name="end_maintenance"),
    path("connections/<int:pk>/settle/", connection.settle, name="settle_action"),
    path("connections/<int:pk>/reconcile/", reconciliation.ask, name="reconcile"),
    path("me/notices/", notices.index, name="notices"),
    path("me/notices/read/", notices.read, name="read_notices"),
    path("me/notices/settings/", notice_settings.index, name="notice_settings"),
    path("me/notices/channels/", notice_settings.add_own, name="add_own_channel"),
    path("notices/<int:pk>/send-again/", notices.send_again, name="send_again"),
    path("channels/", channels.index, name="channels"),
    path("channels/add/", channels.add_shared, name="add_channel"),
    path("channels/<int:pk>/test/", channels.test, name="test_channel"),
    path("channels/<int:pk>/remove/", channels.remove, name="remove_channel"),
    path("switches/", switches.index, name="switches"),
    path("switches/organization/", switches.turn_organization, name="turn_organization"),
    path("switches/<int:pk>/", switches.turn_workflow, name="turn_workflow"),
    path("reconciliation/", reconciliation.index, name="reconciliations"),
    path("reconciliation/<int:pk>/", reconciliation.show, name="reconciliation"),
    path("differences/<int:pk>/", reconciliation.difference, name="difference"),
    path("differences/<int:pk>/settle/", reconciliation.settle, name="settle"),
    path("recovery/", recovering.index, name="recovery"),
    path("recovery/declare/", recovering.declare, name="declare_recovery"),
    path("recovery/<int:pk>/sign/", recovering.sign, name="sign_recovery"),
]
