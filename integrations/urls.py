"""Addresses at which outside systems knock, and the pages about them."""

from django.urls import path

from integrations import hooks, views

app_name = "integrations"
urlpatterns = [
    path("hooks/<slug:organization>/<slug:endpoint>/", hooks.receive, name="receive"),
    path("connections/", views.index, name="connections"),
    path("connections/<int:pk>/pause/", views.pause, name="pause"),
    path("connections/<int:pk>/resume/", views.resume, name="resume"),
]
