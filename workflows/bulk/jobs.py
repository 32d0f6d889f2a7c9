"""Bulks are a person's errand: their job, asked for when one is started and again when it was lost."""

from opsdesk.lib.errands import Errand
from workflows.bulk import carrying

_ERRAND = Errand("bulk", "workflows.bulk.jobs.carry")
enqueue = _ERRAND.enqueue


def carry(bulk_id: int) -> str:
    """Work on a bulk for a while, and queue up again behind others when something is left."""
    return _ERRAND.carry(bulk_id, carrying.carry_on)


def wake_stale() -> int:
    """Ask again for bulks on which no job has worked for a while: it was killed, or the queue lost it."""
    return _ERRAND.wake(carrying.take_stale())
