"""The app's place in the house."""

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"

    def ready(self) -> None:
        from integrations import verbs  # noqa: F401 - registers the audit verbs
