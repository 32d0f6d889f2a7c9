"""Addresses at which outside systems knock, and the pages about them."""

from django.urls import path

from integrations import hooks

app_name = "integrations"
urlpatterns = [
    path("hooks/<slug:organization>/<slug:endpoint>/", hooks.receive, name="receive"),
]
