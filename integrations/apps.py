"""The app's place in the house."""

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Outside systems"

    def ready(self) -> None:
        from auditlog.seals.handing import add_outlet
        from integrations import (
            readers,
            retention,
            stalls,
            verbs,  # noqa: F401 - registers the audit verbs
            watching,
        )
        from integrations.breakers import ALERT
        from integrations.connectors import stripe, webhook
        from integrations.definitions import connections_exist
        from integrations.heads import by_webhook
        from integrations.notices.kinds import NoticeKind, add_notice_kind
        from integrations.reconciliation import effects
        from integrations.reversing import services as reversing
        from integrations.reversing import standing as reversals
        from integrations.steps.act import Act
        from integrations.steps.gather import Gather
        from integrations.steps.moving import standing_among
        from integrations.steps.notify import Notify, teams_exist
        from integrations.steps.recall import Recall
        from integrations.steps.take_back import TakeBack
        from workflows import registry
        from workflows.alerts import add_alert_kind

        add_alert_kind(ALERT, "A connection is in trouble")
        add_outlet("webhook", by_webhook)
        retention.register()
        registry.add_step_kind(Gather())
        registry.add_step_kind(Act())
        registry.add_step_kind(Notify())
        registry.add_step_kind(Recall())
        registry.add_step_kind(TakeBack())
        registry.add_case_ending(reversing.KIND, reversing.ended)
        registry.add_standing_effect(standing_among)
        registry.add_standing_effect(effects.standing_among)
        registry.add_standing_effect(reversals.standing_among)
        registry.add_recovery_ending(effects.end_recovery)
        registry.add_definition_check(connections_exist)
        registry.add_definition_check(teams_exist)
        add_notice_kind(NoticeKind("notify", "What a workflow tells"))
        watching.register()
        stalls.register()
        readers.register()
        stripe.register()
        webhook.register()
