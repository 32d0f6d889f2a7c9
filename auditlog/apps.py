"""The app's place in the house."""

from django.apps import AppConfig


class AuditlogConfig(AppConfig):
    name = "auditlog"
    verbose_name = "Audit log"

    def ready(self) -> None:
        from accounts import journal
        from accounts import verbs as words_of_accounts
        from auditlog import services, verbs

        verbs.register(**words_of_accounts.VERBS)
        journal.keep(services.record_change)
