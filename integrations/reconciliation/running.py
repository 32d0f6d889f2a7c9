"""Carrying out reconciliations: claimed, read outside any transaction, compared and written in one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from auditlog.services import record
from integrations.errors import CallFailed
from integrations.gateways import Receipt, RefundLister, lister_of
from integrations.models import Break, Call, Payment, Reconciliation
from integrations.reconciliation import effects
from integrations.reconciliation.breaks import DESK, break_of, tell
from integrations.reconciliation.comparing import Books, Comparison, Difference, compare, unlisted
from integrations.states import BreakKind, BreakState, ReconciliationState
from opsdesk.lib import clock
from workflows.engine.failing import pause_before
from workflows.states import FailureKind

log = structlog.get_logger(__name__)
# Longer than a task may run: a worker that is silent for this long is gone.
LEASE = timedelta(minutes=5)
MOST_ATTEMPTS = 5


@dataclass(slots=True)
class Listing:
    """What a gateway has: all its refunds of the time, and what it says it does not have."""

    receipts: list[Receipt] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def run_due() -> int:
    """Carry out the reconciliations that are due; returns how many."""
    done = 0
    while (row := _claim()) is not None:
        _carry_out(row)
        done += 1
    return done


@transaction.atomic
def _claim() -> Reconciliation | None:
    due = Q(state=ReconciliationState.DUE, due_at__lte=Now())
    lost_worker = Q(state=ReconciliationState.RUNNING, lease_until__lt=Now())
    row = (
        Reconciliation.objects.filter(due | lost_worker)
        .order_by("due_at")
        .select_related("connection", "recovery")
        .select_for_update(skip_locked=True, of=("self",))
        .first()
    )
    if row is None:
        return None
    if row.state == ReconciliationState.RUNNING:
        if row.attempts >= MOST_ATTEMPTS:
            _failed(row, f"The worker went away {row.attempts} times while it compared.")
            return None
        row.move_to(ReconciliationState.DUE, lease_until=None)
    claimed = {"lease_until": clock.of_database() + LEASE, "attempts": row.attempts + 1, "epoch": row.epoch + 1}
    row.move_to(ReconciliationState.RUNNING, **claimed)
    return row


def _carry_out(row: Reconciliation) -> None:
    gateway = lister_of(row.connection)
    if gateway is None:
        _failed(row, f"{row.connection} keeps no refunds that could be compared.")
        return
    try:
        listing = _read(gateway, row)
    except CallFailed as trouble:
        _not_read(row, trouble)
        return
    finally:
        Call.objects.bulk_create(gateway.calls)
    if row.recovery_id is not None:
        effects.record_all(row, listing.receipts)
    _write(row, listing)


def _read(gateway: RefundLister, row: Reconciliation) -> Listing:
    """List everything, and ask for each refund that should have been among it. Raises CallFailed."""
    listing = Listing(list(gateway.refunds_since(row.since)))
    listed = {receipt.reference for receipt in listing.receipts}
    for reference in unlisted(row.connection, row.since, listed):
        seen = gateway.refund_as_it_is(reference)
        if seen is None:
            listing.missing.append(reference)
        else:
            listing.receipts.append(seen)
    return listing


@transaction.atomic
def _write(row: Reconciliation, listing: Listing) -> None:
    """Compare with the rows as they are now, and write the report; a worker whose lease has expired writes nothing."""
    if not _still_mine(row):
        return
    books = Books(row.connection, listing.receipts, listing.missing)
    comparison = compare(books, listing.receipts, listing.missing, patient=row.recovery_id is None)
    found = _keep(row, comparison)
    recorded = Break.objects.filter(found_in=row, state=BreakState.RECORDED).count()
    row.move_to(
        ReconciliationState.DONE,
        ended_at=Now(),
        due_at=None,
        lease_until=None,
        listed=len(listing.receipts),
        compared=comparison.both,
        recorded=recorded,
        found=found,
        message="",
    )
    record(
        "integrations.reconciliation.done",
        actor=DESK,
        organization_id=row.organization_id,
        subject=("reconciliation", row.pk),
        after={"listed": len(listing.receipts), "differences": found, "recorded": recorded},
        reason=f"Compared with {row.connection}, back to {row.since:%Y-%m-%d %H:%M} UTC.",
    )


def _still_mine(row: Reconciliation) -> bool:
    mine = Reconciliation.objects.filter(pk=row.pk, state=ReconciliationState.RUNNING, epoch=row.epoch)
    return mine.select_for_update(of=("self",)).exists()


def _keep(row: Reconciliation, comparison: Comparison) -> int:
    """Write new differences, note which still stand, close those that are gone; returns how many stand."""
    open_still = Break.objects.open().filter(connection=row.connection).order_by("pk").select_for_update(of=("self",))
    standing = {(each.reference, each.kind): each for each in open_still}
    accepted = _accepted(row, comparison)
    new = []
    for difference in comparison.differences:
        known = standing.pop((difference.reference, difference.kind), None)
        if known is not None:
            Break.objects.filter(pk=known.pk).update(seen_in=row, words=difference.words)
        elif _figures(difference) not in accepted:
            new.append(break_of(row, difference))
    gone = [each for (reference, _), each in standing.items() if reference in comparison.references]
    for each in gone:
        each.move_to(BreakState.GONE, closed_at=Now())
    Break.objects.bulk_create(new)
    _reread(new)
    tell("integrations.break.found", new)
    tell("integrations.break.gone", gone)
    return Break.objects.open().filter(connection=row.connection, seen_in=row).count()


def _reread(new: Sequence[Break]) -> None:
    """Have the payments of lost effects read as after news: what went back counts before any more is sent."""
    payments = [each.payment_id for each in new if each.kind == BreakKind.LOST_INTENT and each.payment_id]
    Payment.objects.filter(pk__in=payments).update(reread_at=Now(), told_refunded_minor=None)


def _accepted(row: Reconciliation, comparison: Comparison) -> set[tuple[object, ...]]:
    """Differences that a person has settled, with the figures they saw: those are not reported anew every day."""
    references = [difference.reference for difference in comparison.differences]
    settled = Break.objects.filter(connection=row.connection, state=BreakState.SETTLED, reference__in=references)
    return {(each.reference, each.kind, each.ours, each.theirs) for each in settled.exclude(remedy="take_over")}


def _figures(difference: Difference) -> tuple[object, ...]:
    return (difference.reference, difference.kind, difference.ours, difference.theirs)


@transaction.atomic
def _not_read(row: Reconciliation, trouble: CallFailed) -> None:
    """Come again later, unless it came too often or was refused for good."""
    if not _still_mine(row):
        return
    if trouble.kind == FailureKind.DATA or row.attempts >= MOST_ATTEMPTS:
        _failed(row, trouble.message)
        return
    log.info("reconciliation_later", reconciliation=row.pk, error=trouble.message)
    pause = pause_before(row.attempts + 2, trouble.retry_after)
    row.move_to(ReconciliationState.DUE, due_at=clock.now() + pause, lease_until=None, message=trouble.message[:300])


@transaction.atomic
def _failed(row: Reconciliation, words: str) -> None:
    row.move_to(ReconciliationState.FAILED, ended_at=Now(), due_at=None, lease_until=None, message=words[:300])
    record(
        "integrations.reconciliation.failed",
        actor=DESK,
        organization_id=row.organization_id,
        subject=("reconciliation", row.pk),
        reason=words,
    )
