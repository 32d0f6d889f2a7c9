"""A worker's process that works for long, and says how much memory it holds.

`python -m tests.chaos.growing DATABASE WARM_UP TASKS`: each task is a look as Celery has it done, at five runs; of
ten one breaks; afterwards one line with the megabytes after the warm-up and at the end.
"""

import gc
import json
import sys

import psutil

RUNS_A_TASK, BREAKS = 5, 10


def main(database: str, warm_up: int, tasks: int) -> None:
    """Work, and tell."""
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    django.setup()
    from celery import current_app

    from tests.factories import make_case, make_organization
    from tests.workflows.conftest import PACK, ScriptedStep
    from workflows import registry
    from workflows.engine.outcomes import Done
    from workflows.models import Run
    from workflows.publishing import publish_pack

    current_app.loader.import_default_modules()

    def break_now_and_then(context):  # type: ignore[no-untyped-def]
        if context.run.pk % BREAKS == 0:
            raise RuntimeError(f"Nobody planned for this, at run {context.run.pk}.")
        return Done("Did it.")

    registry.step_kinds["scripted_outside"] = ScriptedStep("scripted_outside", asks_outside=True)
    registry.step_kinds["scripted"] = ScriptedStep("scripted", scripts={"second": break_now_and_then})
    organization = make_organization("growing")
    version = publish_pack(organization, PACK, by=None, reason="For a test.")

    def work(count: int) -> float:
        for _ in range(count):
            cases = [make_case(organization) for _ in range(RUNS_A_TASK)]
            Run.objects.bulk_create(
                Run(organization=organization, workflow=version.workflow, version=version, case=case) for case in cases
            )
            current_app.tasks["workflows.tick"].apply()
        gc.collect()
        return float(psutil.Process().memory_info().rss / 1024**2)

    before = work(warm_up)
    after = work(tasks)
    states = {state: Run.objects.filter(state=state).count() for state in ("succeeded", "failed")}
    print(json.dumps({"before": before, "after": after, **states}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
