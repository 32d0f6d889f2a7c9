"""The app's place in the house."""

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"

    def ready(self) -> None:
        from approvals import verbs  # noqa: F401 - registers the audit verbs
