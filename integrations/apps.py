"""The app's place in the house."""

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"
