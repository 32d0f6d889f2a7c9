"""Taking due actions for one worker: what nothing holds, most urgent first, within the limits of each connection."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import random
from time import monotonic

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from integrations import breakers, limits, queueing
from integrations.breakers import Place
from integrations.holds import Hold, current
from integrations.models import Action, Connection, OperationSwitch
from integrations.queueing import TO_SEND
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.rows import write_changes
from workflows.engine.failing import MOST_COUNTED
from workflows.recovery import mode, tide

# Longer than the longest call: a worker that is silent for this long is gone.
LEASE = timedelta(seconds=60)
# What was sent and is only looked at: reading goes on behind a kill switch for actions.
TO_READ = (ActionState.SUCCEEDED, ActionState.MISMATCHED)
# A retry that the budget has no room for comes again after so long, and at the most twice that.
_BUDGET_PAUSE = timedelta(seconds=2)
_CLAIMED = ("state", "attempts", "due_at", "lease_until", "epoch", "first_sent_at", "message")


@dataclass(slots=True)
class Claimed:
    """Actions that are this worker's since `now`, by the database's clock.

    `put_off` had no room and wait a moment; permits are by action id.
    """

    now: datetime
    actions: list[Action] = field(default_factory=list)
    put_off: list[Action] = field(default_factory=list)
    permits: dict[int, int] = field(default_factory=dict)
    probes: dict[Place, int] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)

    @property
    def looked_at(self) -> int:
        return len(self.actions) + len(self.put_off)


def claim(limit: int) -> Claimed:
    """Take due actions for this worker. An expired lease means the answer was lost: unknown, never failed."""
    tide.look_when_connected_anew()
    began, claimed = monotonic(), Claimed(clock.of_database(), holds=current())
    with transaction.atomic():
        _take(claimed, limit)
        _keep_within_budget(claimed)
        for action in claimed.actions:
            _begin(action, claimed.now)
            action.held_until = began + LEASE.total_seconds()
        write_changes([*claimed.actions, *claimed.put_off], _CLAIMED)
        if claimed.actions:
            crashpoint("sending.before_commit")
    if claimed.actions:
        crashpoint("sending.after_commit")
    return claimed


def claimable(holds: Sequence[Hold] | None = None) -> QuerySet[Action]:
    """Actions a worker may take now, most urgent first: due, and held by no switch, window or breaker."""
    switched_off = OperationSwitch.objects.filter(connection=OuterRef("connection"), operation=OuterRef("operation"))
    may_send = ~Q(organization_id__in=mode.held()) & Q(
        ~Exists(switched_off),
        state__in=TO_SEND,
        connection__acting_enabled=True,
        organization__acting_enabled=True,
        run__workflow__enabled=True,
    )
    due = (
        Action.objects.filter(may_send | Q(state__in=TO_READ), due_at__lte=Now(), connection__enabled=True)
        # News about the payment is read first: it may leave less than is held.
        .exclude(state=ActionState.RESERVED, payment__reread_at__lte=Now())
        .order_by("run__priority", "due_at")
    )
    for hold in current() if holds is None else holds:
        due = due.exclude(queueing.held_by(hold))
    return due


def _due(holds: Sequence[Hold], limit: int, rows: Q) -> list[Action]:
    """The first of the claimable ones, under their locks."""
    due = claimable(holds).filter(rows).select_related("connection", "payment")
    return list(due.select_for_update(skip_locked=True, of=("self",))[:limit])


def _take(claimed: Claimed, limit: int) -> None:
    """What may go freely, then what a limited connection has room for, then one try for each breaker that asks."""
    limited = Q(connection__calls_per_second__isnull=False) | Q(connection__most_at_once__isnull=False)
    claimed.actions = _due(claimed.holds, limit, ~limited)
    in_line = Action.objects.filter(limited, due_at__lte=Now()).values("connection")
    for connection in Connection.objects.filter(pk__in=in_line).order_by("pk"):
        claimed.actions += _within_limits(claimed, connection, limit)
    for hold in claimed.holds:
        if hold.breaker is not None and not _held_otherwise(claimed.holds, hold):
            _take_probe(claimed, hold)


def _within_limits(claimed: Claimed, connection: Connection, limit: int) -> list[Action]:
    wanted = _due(claimed.holds, limit, Q(connection=connection))
    if not wanted:
        return []
    room = limits.take(connection, len(wanted))
    taken = wanted[: room.tries]
    claimed.permits |= dict(zip([action.pk for action in taken], room.permits, strict=False))
    for action in wanted[room.tries :]:
        action.take_over(action.state, message=room.words[:300], due_at=claimed.now + room.wait)
    claimed.put_off += wanted[room.tries :]
    return taken


def _held_otherwise(holds: Sequence[Hold], asking: Hold) -> bool:
    return any(hold.covers(asking.connection.pk, asking.operation) for hold in holds if hold.breaker is None)


def _take_probe(claimed: Claimed, hold: Hold) -> None:
    """The one try of an open breaker: what was tried least, so that an outage wears out no single action."""
    breaker = hold.breaker
    if breaker is None or not breakers.asks_for_a_try(breaker):
        return
    others = [other for other in claimed.holds if other is not hold]
    mine = Q(connection=hold.connection, operation=hold.operation)
    due = [
        *_due(others, 20, mine & Q(state__in=TO_SEND)),
        *_due(others, 1, mine & Q(state__in=TO_READ)),
    ]
    if not due:
        return
    epoch = breakers.take_probe(breaker)
    if epoch is not None:
        claimed.probes[hold.connection.pk, hold.operation] = epoch
        claimed.actions.append(min(due, key=lambda action: (action.state in TO_READ, action.attempts)))


def _keep_within_budget(claimed: Claimed) -> None:
    """Put off the retries that the budget of their connection has no room for."""
    retries: dict[int, list[Action]] = defaultdict(list)
    for action in claimed.actions:
        probing = (action.connection_id, action.operation) in claimed.probes
        if action.attempts and action.state in TO_SEND and not probing:
            retries[action.connection_id].append(action)
    put_off: set[int] = set()
    for connection_id in sorted(retries):
        found = retries[connection_id]
        connection = found[0].connection
        for action in found[limits.take_retries(connection, len(found)) :]:
            pause = _BUDGET_PAUSE * (1 + random())  # noqa: S311 - spreading load, not guarding anything
            words = f"Its retry waits: {connection.name} had its share of retries for now."
            action.take_over(action.state, message=words, due_at=claimed.now + pause)
            put_off.add(action.pk)
    claimed.put_off += [action for action in claimed.actions if action.pk in put_off]
    claimed.actions = [action for action in claimed.actions if action.pk not in put_off]
    limits.give_back(claimed.permits.pop(pk) for pk in put_off & claimed.permits.keys())


def _begin(action: Action, now: datetime) -> None:
    """Write the lease and the attempt on the row, as `write_changes` will save it; `now` is the database's."""
    if action.state == ActionState.SENDING:
        action.check_move(ActionState.UNKNOWN)
        action.take_over(ActionState.UNKNOWN, message="The worker went away before the answer was recorded.")
    ends = now + LEASE
    changes = {"due_at": ends, "lease_until": ends, "epoch": action.epoch + 1}
    state = action.state
    if state not in TO_READ:
        action.check_move(ActionState.SENDING)
        state = ActionState.SENDING
        changes |= {"attempts": min(action.attempts + 1, MOST_COUNTED)}
    # Whether it may have been sent before decides whether it is looked up first.
    first = action.first_sent_at
    action.sent_before, action.sent_ago = first is not None, now - (first or now)
    action.take_over(state, first_sent_at=first or now, **changes)
