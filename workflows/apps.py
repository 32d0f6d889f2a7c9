"""The app's place in the house."""

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    name = "workflows"

    def ready(self) -> None:
        from workflows import (
            registry,
            verbs,  # noqa: F401 - registers the audit verbs
        )
        from workflows.bulk import run_kinds
        from workflows.steps.decide import Decide

        registry.add_step_kind(Decide())
        run_kinds.register()
