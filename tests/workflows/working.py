"""Workers as tests play them, and steps that break."""

from django.db import connection

from workflows.engine.outcomes import Done
from workflows.engine.running import advance, claim
from workflows.errors import StepFailed
from workflows.states import CaseState, RunState

DONE = (RunState.SUCCEEDED, CaseState.DONE)


FAILED = (RunState.FAILED, CaseState.FAILED)


def work() -> None:
    """What a worker does when it is told to look."""
    while runs := claim():
        advance(runs)


def break_for(*broken):
    """A script that raises for some cases and is done with the others."""

    def script(context):
        if context.case.pk in broken:
            raise ValueError("Nobody planned for this.")
        return Done()

    return script


def say_deadlock(context):
    """What PostgreSQL says to the victim of a deadlock."""
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$")


def trouble(kind, message="The gateway stumbles.", **more):
    def script(context):
        raise StepFailed(kind, message, **more)

    return script
