"""Having a waiting run look again because something it may wait for has changed. A missed call costs minutes only."""

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from opsdesk.lib import queue
from workflows.models import Case, Run
from workflows.states import RunState, WaitsFor


def parent_of(run: Run) -> None:
    """Have the run whose step began this one look, once this one's end has committed."""
    if run.parent_id is None:
        return
    parent = Run.objects.filter(pk=run.parent_id, waits_for=WaitsFor.WORKFLOW)
    # Afterwards, because a row lock on the parent would stand across the order in which cases are locked.
    transaction.on_commit(lambda: _look_now(parent), robust=True)


def facts_changed(organization_id: int, *, target: str) -> None:
    """Have runs that wait for a fact about this payment look, once this transaction has committed."""
    waiting = Run.objects.filter(
        organization_id=organization_id, waits_for=WaitsFor.FACT, state=RunState.WAITING, case__target=target
    )
    transaction.on_commit(lambda: _look_now(waiting), robust=True)


def tell(case: Case, event_type: str) -> None:
    """Wake the runs of a case that wait for an event of this type; the caller holds the case's row lock."""
    waiting = Run.objects.filter(case=case, state=RunState.WAITING, waits_for=WaitsFor.EVENT, kept__event=event_type)
    if waiting.update(wake_at=Now()):
        queue.ring("workflows.tick")


def _look_now(runs: QuerySet[Run]) -> None:
    if runs.filter(state=RunState.WAITING).update(wake_at=Now()):
        queue.ring("workflows.tick")
