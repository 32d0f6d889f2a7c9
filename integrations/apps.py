"""The app's place in the house."""

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Outside systems"

    def ready(self) -> None:
        from integrations import (
            readers,
            verbs,  # noqa: F401 - registers the audit verbs
        )
        from integrations.connectors import stripe
        from integrations.definitions import connections_exist
        from integrations.steps.act import Act, stands
        from integrations.steps.gather import Gather
        from workflows import registry

        registry.add_step_kind(Gather())
        registry.add_step_kind(Act())
        registry.add_standing_effect(stands)
        registry.add_definition_check(connections_exist)
        readers.register()
        stripe.register()
