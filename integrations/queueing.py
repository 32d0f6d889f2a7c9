"""The work that waits for a connection: it says why, keeps its order, and goes on when nothing holds it any more."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from integrations.holds import READ, Hold
from integrations.models import Action, Breaker, Connection
from integrations.states import ActionState
from opsdesk.lib import queue
from workflows.engine import repairing
from workflows.models import Case, Run
from workflows.states import RunState, WaitsFor

# What a kill switch for acting holds; reading back what was sent goes on behind it.
TO_SEND = (ActionState.RESERVED, ActionState.SENDING, ActionState.UNKNOWN)
_TOLD_AT_ONCE = 100


def place(connection: Connection, operation: str) -> str:
    """How a run names what it waits for."""
    return f"{connection.slug}/{operation}"


def held_by(hold: Hold) -> Q:
    """Due actions that a hold keeps from going out."""
    held = Q(connection_id=hold.connection.pk)
    if hold.operation:
        held &= Q(operation=hold.operation)
    if not hold.stops_reading:
        held &= Q(state__in=TO_SEND)
    return held


def waiting_runs(connection: Connection, operation: str = "") -> QuerySet[Run]:
    """Runs that wait for a connection, or for one operation of it, and look again by themselves: most urgent first."""
    rows = Run.objects.filter(
        organization_id=connection.organization_id, state=RunState.WAITING, wake_at__isnull=False
    ).order_by("priority", "wake_at")
    if operation:
        return rows.filter(waits_on=place(connection, operation))
    return rows.filter(waits_on__startswith=f"{connection.slug}/")


def wake(connection: Connection, operation: str = "") -> int:
    """Have everything that waited for a connection looked at now; the claims take it by priority."""
    with transaction.atomic():
        waiting = waiting_runs(connection, operation).select_for_update(skip_locked=True, of=("self",))
        ids = list(waiting.values_list("pk", flat=True))
        woken = Run.objects.filter(pk__in=ids, state=RunState.WAITING).update(wake_at=Now())
        ring()
    return woken


def wake_probes(holds: Sequence[Hold]) -> None:
    """Where a breaker may try again, have the most urgent run that waits for it be the one that tries."""
    for hold in holds:
        if hold.breaker is None or hold.operation != READ:
            continue
        if not Breaker.objects.ready().filter(pk=hold.breaker.pk).exists():
            continue
        first = waiting_runs(hold.connection, READ).filter(wake_at__gt=Now()).first()
        if first is not None:
            Run.objects.filter(pk=first.pk, state=RunState.WAITING).update(wake_at=Now())
            queue.ring("workflows.tick")


def say_why(holds: Sequence[Hold]) -> None:
    """Tell the due actions that are held, and their runs and cases, what they wait for; a hundred at a time."""
    for hold in holds:
        held = Action.objects.filter(held_by(hold), due_at__lte=Now()).exclude(message=hold.words[:300])
        ids = list(held.order_by("pk").values_list("pk", flat=True)[:_TOLD_AT_ONCE])
        if ids:
            _tell(ids, hold)


@transaction.atomic
def _tell(action_ids: Sequence[int], hold: Hold) -> None:
    """Nobody is waited for: what somebody else holds just now is told the next time."""
    cases = set(
        Case.objects.filter(actions__in=action_ids)
        .order_by("pk")
        .select_for_update(skip_locked=True, of=("self",))
        .values_list("pk", flat=True)
    )
    rows = Action.objects.filter(held_by(hold), pk__in=action_ids, case__in=cases).order_by("pk")
    actions = list(rows.select_for_update(skip_locked=True, of=("self",)))
    Action.objects.filter(pk__in=[action.pk for action in actions]).update(message=hold.words[:300])
    for action in actions:
        on = place(hold.connection, action.operation)
        repairing.tell(action.run_id, waits_for=WaitsFor.CONNECTION, reason=hold.words, on=on)


def ring() -> None:
    """Have the workers look at once."""
    queue.ring("workflows.tick")
    queue.ring("integrations.send_due")
