"""Addresses at which outside systems knock, and the pages about them."""

from django.urls import path

from integrations import hooks, views
from integrations.reconciliation import recovering
from integrations.reconciliation import views as reconciliation

app_name = "integrations"
urlpatterns = [
    path("hooks/<slug:organization>/<slug:endpoint>/", hooks.receive, name="receive"),
    path("connections/", views.index, name="connections"),
    path("connections/<int:pk>/pause/", views.pause, name="pause"),
    path("connections/<int:pk>/resume/", views.resume, name="resume"),
    path("connections/<int:pk>/reconcile/", reconciliation.ask, name="reconcile"),
    path("reconciliation/", reconciliation.index, name="reconciliations"),
    path("reconciliation/<int:pk>/", reconciliation.show, name="reconciliation"),
    path("differences/<int:pk>/", reconciliation.difference, name="difference"),
    path("differences/<int:pk>/settle/", reconciliation.settle, name="settle"),
    path("recovery/", recovering.index, name="recovery"),
    path("recovery/declare/", recovering.declare, name="declare_recovery"),
    path("recovery/<int:pk>/sign/", recovering.sign, name="sign_recovery"),
]
