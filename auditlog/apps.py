"""The app's place in the house."""

from django.apps import AppConfig


class AuditlogConfig(AppConfig):
    name = "auditlog"

    def ready(self) -> None:
        from accounts import verbs as words_of_accounts
        from auditlog import verbs

        verbs.register(**words_of_accounts.VERBS)
