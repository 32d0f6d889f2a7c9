"""The project as an app: its commands, pages and templates."""

from django.apps import AppConfig


class OpsdeskConfig(AppConfig):
    name = "opsdesk"

    def ready(self) -> None:
        """Make the Celery application the current one before anybody rings it."""
        import opsdesk.celery  # noqa: F401
