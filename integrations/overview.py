"""One connection as its page shows it: what it can do, what holds it, what its limits leave, and who waits for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain

from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import Membership
from accounts.veils import unveiled
from integrations import holds, limits
from integrations.holds import READ, Hold
from integrations.models import Action, Breaker, Connection, MaintenanceWindow, OperationSwitch, Throttle
from integrations.operations import Operation, operations_over
from integrations.queueing import waiting_runs
from integrations.states import ActionState, BreakerState
from opsdesk.lib.wording import span
from workflows.models import Run

MOST_SHOWN = 50
# What a claim could take were nothing in its way; what was sent and is read back does not queue.
_QUEUED = (ActionState.RESERVED, ActionState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class OperationRow:
    """One operation with its breaker and its kill switch; `declared` is None for reading."""

    name: str
    declared: Operation | None
    breaker: Breaker | None
    switch: OperationSwitch | None

    @property
    def state(self) -> str:
        """The breaker's state; an operation that was never in trouble has no row."""
        return self.breaker.state if self.breaker is not None else BreakerState.CLOSED

    @property
    def held(self) -> bool:
        """Whether the breaker keeps calls back, but perhaps for one that finds out."""
        return self.state != BreakerState.CLOSED

    @property
    def forced(self) -> bool:
        return self.breaker is not None and self.breaker.forced

    @property
    def key_words(self) -> str:
        """For how long, and how, a repetition does no harm."""
        if self.declared is None:
            return ""
        idempotency = self.declared.idempotency
        lives = f"the same key for {span(idempotency.key_life)}" if idempotency.key_life else "no key protects it"
        return f"{lives}, then {'a look-up' if idempotency.looks_up else 'a person asks'}"

    @property
    def reversal_words(self) -> str:
        """How much of it can be taken back, until when, at what cost, by what; and the next best."""
        return self.declared.reversal.in_words if self.declared is not None else ""


@dataclass(frozen=True, slots=True)
class Queued:
    """One run in the queue; its action, where it has planned one."""

    run: Run
    action: Action | None

    @property
    def words(self) -> str:
        """Why it waits."""
        return (self.action.message if self.action is not None else "") or self.run.reason

    @property
    def since(self) -> datetime:
        return (self.action.created_at if self.action else self.run.waiting_since) or self.run.started_at


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the page says about one connection."""

    holds: Sequence[Hold]
    operations: Sequence[OperationRow]
    windows: Sequence[MaintenanceWindow]
    queue: Sequence[Queued]
    depth: int
    doubts: Sequence[Action]
    tokens: Decimal | None
    under_way: int
    retries_left: int


def overview(connection: Connection, member: Membership) -> Overview:
    """Read it all as this member sees it; the statements do not grow with what waits."""
    breakers = {breaker.operation: breaker for breaker in connection.breakers.all()}
    switches = {switch.operation: switch for switch in connection.switches.select_related("by")}
    declared = {operation.name: operation for operation in operations_over(connection)}
    names = dict.fromkeys(chain([READ] if connection.base_url else [], declared, breakers, switches))
    throttle, now = _throttle(connection)
    ours = Action.objects.visible_to(member).filter(connection=connection)
    actions, runs = _due(ours), unveiled(waiting_runs(connection), member)
    return Overview(
        holds=holds.of(connection),
        operations=[OperationRow(name, declared.get(name), breakers.get(name), switches.get(name)) for name in names],
        windows=list(MaintenanceWindow.objects.to_come().filter(connection=connection)),
        queue=_queue(actions, runs),
        depth=actions.count() + runs.count(),
        doubts=list(_doubts(ours)[:MOST_SHOWN]),
        tokens=limits.tokens_left(connection, throttle, now),
        under_way=connection.permits.filter(until__gt=Now()).count(),
        retries_left=limits.retries_left(connection, throttle, now),
    )


def _due(actions: QuerySet[Action]) -> QuerySet[Action]:
    rows = actions.filter(state__in=_QUEUED, due_at__isnull=False)
    return rows.select_related("run", "case").order_by("run__priority", "due_at")


def _doubts(actions: QuerySet[Action]) -> QuerySet[Action]:
    """Lost answers that only a person can clear up."""
    rows = actions.filter(state=ActionState.UNKNOWN, due_at=None)
    return rows.select_related("case").order_by("created_at")


def _queue(actions: QuerySet[Action], runs: QuerySet[Run]) -> list[Queued]:
    """The first ones of both kinds, in the order in which they will go out."""
    rows = [Queued(action.run, action) for action in actions[:MOST_SHOWN]]
    rows += [Queued(run, None) for run in runs.select_related("case").defer("facts", "case__data")[:MOST_SHOWN]]
    return sorted(rows, key=lambda row: (row.run.priority, row.since))[:MOST_SHOWN]


def _throttle(connection: Connection) -> tuple[Throttle | None, datetime]:
    """What is used up, and the database's clock."""
    clocked = Connection.objects.filter(pk=connection.pk).annotate(now=Now()).values_list("now", flat=True)
    return Throttle.objects.filter(connection=connection).first(), clocked.get()
