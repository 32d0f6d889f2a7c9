"""Addresses of the audit log."""

from django.urls import path

from auditlog import views

app_name = "auditlog"
urlpatterns = [
    path("audit/", views.index, name="entries"),
    path("audit/<int:pk>/", views.show, name="entry"),
]
