"""The app's place in the house."""

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    name = "workflows"

    def ready(self) -> None:
        from workflows import (
            auditing,
            registry,
            retention,
            stalled_proposals,
            stalls,
            verbs,  # noqa: F401 - registers the audit verbs
            watching,
        )
        from workflows.bulk import run_kinds
        from workflows.steps import start, wait
        from workflows.steps.decide import Decide
        from workflows.triggers import own_events

        registry.add_step_kind(Decide())
        run_kinds.register()
        registry.add_step_kind(wait.Wait())
        registry.add_step_kind(start.Start())
        registry.add_definition_check(wait.check_places)
        registry.add_definition_check(start.check_targets)
        registry.add_reader(own_events.READER, own_events.read)
        retention.register()
        watching.register()
        stalls.register()
        stalled_proposals.register()
        auditing.register()
