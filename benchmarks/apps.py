"""The measurements as an app of the desk that is measured: it brings a step kind that asks nobody."""

from django.apps import AppConfig


class BenchmarksConfig(AppConfig):
    name = "benchmarks"

    def ready(self) -> None:
        from benchmarks.steps import Note
        from workflows import registry

        registry.add_step_kind(Note())
