"""The project as an app: its commands, pages and templates."""

from django.apps import AppConfig


class OpsdeskConfig(AppConfig):
    name = "opsdesk"

    def ready(self) -> None:
        """Make the Celery application the current one before anybody rings it; name what the watchdog looks for."""
        import opsdesk.additive
        import opsdesk.celery
        import opsdesk.separation  # noqa: F401
        from auditlog.verbs import register
        from opsdesk import verbs  # noqa: F401 - registers the audit verbs
        from opsdesk.lists import pages
        from opsdesk.watch.watchdog import CHECKS
        from workflows.alerts import add_alert_kind

        register(opsdesk__person__erased="erased a person from the desk")
        pages.register()
        for check in CHECKS:
            add_alert_kind(check.kind, check.title)
