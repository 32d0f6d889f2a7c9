"""When a reconciliation is due: asked for by a person, once a day, and as part of a recovery."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts.models import User
from auditlog.services import Actor, record
from integrations.gateways import lister_of
from integrations.models import Action, Connection, Reconciliation
from integrations.states import ActionState, ReconciliationState
from opsdesk.lib import clock, queue
from opsdesk.lib.errors import DomainError
from workflows.models import Recovery
from workflows.recovery import mode

TASK = "integrations.reconcile"
EVERY = timedelta(days=1)
# How far each one looks back, so that what changed late is seen too; news that was lost is found within a cycle.
REACH = timedelta(days=7)
# Clocks differ, and a call may have been on its way.
OVERLAP = timedelta(hours=1)


class NothingToCompare(DomainError):
    """The connection is off, or no gateway."""

    message = "This connection is switched off, or keeps no refunds that could be compared."


class UnderWay(DomainError):
    """Somebody asked for it a moment ago."""

    message = "A reconciliation of this connection is under way already."


def can_reconcile(connection: Connection) -> bool:
    """Whether there is something to compare, and it may be read."""
    return connection.enabled and bool(connection.base_url) and lister_of(connection) is not None


def ask(connection_id: int, *, by: User) -> Reconciliation:
    """Have a connection reconciled now. Raises NothingToCompare, UnderWay."""
    connection = Connection.objects.get(pk=connection_id)
    if not can_reconcile(connection):
        raise NothingToCompare
    try:
        return _ask(connection, by=by, recovery=mode.current(connection.organization_id))
    except IntegrityError as twice:
        raise UnderWay from twice


@transaction.atomic
def _ask(connection: Connection, *, by: User | None, recovery: Recovery | None) -> Reconciliation:
    row = Reconciliation.objects.create(
        organization_id=connection.organization_id,
        connection=connection,
        asked_by=by,
        recovery=recovery,
        since=_look_back(connection, recovery),
    )
    if by is not None:
        record(
            "integrations.reconciliation.asked",
            actor=Actor.person(by),
            organization_id=row.organization_id,
            subject=("reconciliation", row.pk),
            after={"connection": connection.slug, "since": row.since.isoformat()},
            reason=f"{by} asked for it.",
        )
    queue.ring(TASK)
    return row


def _look_back(connection: Connection, recovery: Recovery | None) -> datetime:
    """From when on everything is listed: what is still open in the desk is never older than that."""
    moments = [clock.now() - REACH]
    if recovery is not None:
        moments.append(recovery.since - OVERLAP)
    last = _ended(connection).values_list("asked_at", flat=True).first()
    if last is not None:
        moments.append(last - OVERLAP)
    unsettled = [ActionState.RESERVED, ActionState.SENDING, ActionState.UNKNOWN]
    open_still = Action.objects.filter(connection=connection, state__in=unsettled).order_by("created_at")
    moments += [created_at - OVERLAP for created_at in open_still.values_list("created_at", flat=True)[:1]]
    return min(moments)


def _ended(connection: Connection) -> QuerySet[Reconciliation]:
    return Reconciliation.objects.filter(connection=connection, state=ReconciliationState.DONE).order_by("-pk")


def ask_what_is_due() -> int:
    """Ask for the reconciliations of this day, and of the recoveries under way; returns how many."""
    recoveries = {recovery.organization_id: recovery for recovery in Recovery.objects.open()}
    lately = clock.now() - EVERY
    busy = Reconciliation.objects.under_way().values("connection")
    asked = 0
    for connection in Connection.objects.exclude(pk__in=busy).order_by("pk"):
        if not can_reconcile(connection):
            continue
        recovery = recoveries.get(connection.organization_id)
        mine = Reconciliation.objects.filter(connection=connection)
        mine = mine.filter(recovery=recovery) if recovery is not None else mine.filter(asked_at__gt=lately)
        if not mine.exists():
            try:
                _ask(connection, by=None, recovery=recovery)
            except IntegrityError:
                continue  # another worker asked for it at this very moment
            asked += 1
    return asked
