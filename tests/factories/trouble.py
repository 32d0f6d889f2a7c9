"""What goes wrong, and what is done about it: failures, alerts, breakers, differences, bulk operations."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from accounts.models import Organization, User
from approvals.models import Review, Setback
from approvals.states import Timer
from integrations.models import (
    Break,
    Breaker,
    Call,
    Connection,
    MaintenanceWindow,
    Reconciliation,
)
from integrations.states import BreakerState, BreakKind, ReconciliationState
from opsdesk.lib import clock
from tests.factories.cases import make_case, make_run
from tests.factories.desks import make_connection, published_version
from tests.factories.numbers import numbers
from workflows.dry_runs import content_of
from workflows.models import (
    Alert,
    Bulk,
    BulkItem,
    DryRun,
    Failure,
    FailureItem,
    Recovery,
    Replay,
    Run,
)
from workflows.states import (
    BULK_FINAL,
    BulkState,
    CaseState,
    FailureKind,
    RecoveryCause,
    RecoveryState,
    RunState,
)


def make_window(connection: Connection, *, minutes: float = 60, **fields: Any) -> MaintenanceWindow:
    """Maintenance that has begun and lasts for so many minutes more."""
    now = clock.now()
    fields = {"starts_at": now - timedelta(minutes=1), "reason": "They move house.", **fields}
    return MaintenanceWindow.objects.create(connection=connection, ends_at=now + timedelta(minutes=minutes), **fields)


def make_open_breaker(connection: Connection, operation: str = "refund", **fields: Any) -> Breaker:
    """A breaker that calls opened, half a minute before its next try."""
    fields = {"state": BreakerState.OPEN, "probe_at": clock.now() + timedelta(seconds=30), **fields}
    fields = {"reason": "12 of 14 calls failed within 30 s.", "moved_at": clock.now(), **fields}
    return Breaker.objects.create(connection=connection, operation=operation, **fields)


def make_call(connection: Connection, *, outcome: str = "ok", **fields: Any) -> Call:
    """One request to the outside and what came back."""
    fields = {
        "operation": "refund",
        "method": "POST",
        "path": "/v1/refunds",
        "status": 200 if outcome == "ok" else 503,
        "milliseconds": 40,
        **fields,
    }
    return Call.objects.create(connection=connection, outcome=outcome, **fields)


def make_failure(
    organization: Organization, *, message: str = "The request has no amount.", items: int = 1, **fields: Any
) -> Failure:
    """A cause with so many stopped runs, each of a case that needs repair."""
    fields = {
        "fingerprint": f"{next(numbers):064d}",
        "workflow": "refund",
        "step": "decide",
        "kind": FailureKind.DATA,
        **fields,
    }
    failure = Failure.objects.create(organization=organization, message=message, **fields)
    for _ in range(items):
        run = make_run(make_case(organization, state=CaseState.FAILED), state=RunState.FAILED, reason=message)
        FailureItem.objects.create(failure=failure, run=run, detail=message)
    return failure


def make_replay(organization: Organization, by: User) -> Replay:
    """The run of a failure is to be tried again."""
    failure = make_failure(organization)
    return Replay.objects.create(failure=failure, by=by, reason="Mended.", wanted=1, last_item=failure.items.get().pk)


def make_setback(review: Review, timer: Timer = Timer.LADDER, **fields: Any) -> Setback:
    """A timer that broke too often, and stands."""
    fields = {"tries": 5, "problem": "Its ladder broke 5 times. RuntimeError: No such place.", **fields}
    return Setback.objects.create(organization_id=review.organization_id, review=review, timer=timer, **fields)


def make_dry_run(organization: Organization, *, by: User, **fields: Any) -> DryRun:
    """A finished look back with the rules in force, at no case."""
    rule_set = published_version(organization).workflow.rule_sets.get(state="published")
    defaults = {"state": "done", "ended_at": clock.now(), "content": content_of(rule_set), "total": 0}
    return DryRun.objects.create(organization=organization, rule_set=rule_set, by=by, **{**defaults, **fields})


def make_alert(organization: Organization | None, **fields: Any) -> Alert:
    """Something that is wrong with the desk itself."""
    fields = {
        "kind": "workflow_quiet",
        "subject": f"workflow {next(numbers)}",
        "words": "Refund has not begun for 3 hours. Look whether the shop sends its webhooks.",
        **fields,
    }
    return Alert.objects.create(organization=organization, **fields)


def make_reconciliation(organization: Organization, **fields: Any) -> Reconciliation:
    """A comparison with the gateway that is done, and found everything as it should be."""
    connection = Connection.objects.filter(organization=organization, slug="gateway").first()
    defaults = {"state": ReconciliationState.DONE, "ended_at": clock.now(), "due_at": None}
    return Reconciliation.objects.create(
        organization=organization,
        connection=connection or make_connection(organization),
        **{"since": clock.now() - timedelta(days=7), **defaults, **fields},
    )


def make_break(organization: Organization, *, kind: BreakKind = BreakKind.MISSING_HERE, **fields: Any) -> Break:
    """A refund of £3.00 that the gateway has and the desk does not."""
    found_in = fields.pop("found_in", None) or make_reconciliation(organization, found=1)
    number = next(numbers)
    fields = {
        "reference": f"re_{number}",
        "payment_reference": f"pi_{number}",
        "theirs_minor": 300,
        "theirs_currency": "GBP",
        "words": "The gateway refunded £3.00; the desk has not heard of it.",
        **fields,
    }
    return Break.objects.create(
        organization=organization,
        connection=found_in.connection,
        kind=kind,
        found_in=found_in,
        seen_in=found_in,
        **fields,
    )


def make_recovery(organization: Organization, *, ended: bool = False, **fields: Any) -> Recovery:
    """The database of the organization was put back."""
    fields = {
        "cause": RecoveryCause.TIDE,
        "reason": "The database is from noon: its mark is 2, and 5 was seen outside before.",
        "since": clock.now() - timedelta(hours=2),
        **fields,
    }
    if ended:
        fields |= {"state": RecoveryState.ENDED, "ended_at": clock.now()}
    return Recovery.objects.create(organization=organization, **fields)


def make_bulk(
    organization: Organization,
    by: User,
    *,
    count: int = 1,
    state: BulkState = BulkState.RUNNING,
    kind: str = "runs.pause",
    runs: Sequence[Run] = (),
) -> Bulk:
    """A bulk that does something to these runs, or to so many new ones; none of them is done yet."""
    runs = runs or [make_run(make_case(organization)) for _ in range(count)]
    started = {} if state == BulkState.PREVIEW else {"started_at": clock.now(), "reason": "The shop asked."}
    ended = {"ended_at": clock.now()} if state in BULK_FINAL else {}
    bulk = Bulk.objects.create(
        organization=organization,
        kind=kind,
        selection={"ticked": True},
        by=by,
        state=state,
        total=len(runs),
        looked_at=clock.now(),
        **started,
        **ended,
    )
    BulkItem.objects.bulk_create(BulkItem(bulk=bulk, subject_id=run.pk, label=f"RUN-{run.pk}") for run in runs)
    return bulk
