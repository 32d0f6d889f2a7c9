"""The app's place in the house."""

from django.apps import AppConfig
from django.core import checks
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate


class AuditlogConfig(AppConfig):
    name = "auditlog"
    verbose_name = "Audit log"

    def ready(self) -> None:
        from accounts import journal
        from accounts import verbs as words_of_accounts
        from auditlog import context, noting, services, tracking, verbs
        from auditlog.retention import removing

        checks.register(tracking.check_every_table_is_declared, checks.Tags.models)
        connection_created.connect(context.speak_on)
        post_migrate.connect(noting.install_after_migrating, sender=self)
        verbs.register(
            auditlog__entries__removed="removed old entries",
            auditlog__retentionpolicy__added="set how long records are kept",
            auditlog__retentionpolicy__changed="changed how long records are kept",
            auditlog__legalhold__added="set the legal hold",
            auditlog__legalhold__changed="changed the legal hold",
        )
        removing.register()
        verbs.register(**words_of_accounts.VERBS, auditlog__rows__changed="changed rows past the desk's services")
        journal.keep(services.record_change)
