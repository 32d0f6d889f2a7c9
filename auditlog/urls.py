"""Addresses of the audit log."""

from django.urls import path

from auditlog import views
from auditlog.seals import views as seals

app_name = "auditlog"
urlpatterns = [
    path("audit/", views.index, name="entries"),
    path("audit/seals/", seals.index, name="seals"),
    path("audit/<int:pk>/", views.show, name="entry"),
]
