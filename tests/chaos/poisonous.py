"""The desk's Celery on a test's database, with a step that never ends for one case.

`OPSDESK_TEST_DATABASE=... celery --app tests.chaos.poisonous worker --beat`.
"""

import os
import time

import django
from django.conf import settings

settings.DATABASES["default"]["NAME"] = os.environ["OPSDESK_TEST_DATABASE"]
django.setup()

from opsdesk.celery import app  # noqa: E402 - Django comes first
from tests.workflows.conftest import ScriptedStep  # noqa: E402
from workflows import registry  # noqa: E402
from workflows.engine.context import RunContext  # noqa: E402
from workflows.engine.outcomes import Done  # noqa: E402

__all__ = ["POISON", "app"]
POISON = "poison"


def perform(context: RunContext) -> Done:
    """Nothing, at once or for ever."""
    while context.case.key == POISON:
        time.sleep(0.05)
    return Done("Did it.")


registry.step_kinds["scripted_outside"] = ScriptedStep("scripted_outside", True, scripts={"first": perform})
registry.step_kinds["scripted"] = ScriptedStep("scripted")
