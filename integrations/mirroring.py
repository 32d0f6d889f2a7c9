"""Keeping the copies of payments and refunds true, whatever order news arrives in."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from auditlog.services import Actor, record
from integrations import limits
from integrations.errors import CallFailed
from integrations.gateways import PaymentSeen, Receipt, gateway_of
from integrations.holds import READ
from integrations.logbook import Logbook
from integrations.models import Action, Call, Connection, Payment, Refund
from integrations.reading import admit
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.database import is_lost
from workflows import cases
from workflows.engine import failing, waking
from workflows.engine.opening import new_run
from workflows.errors import StepFailed
from workflows.models import Run
from workflows.states import CaseState, FailureKind, RunState

log = structlog.get_logger(__name__)
_REREAD_PAUSE = timedelta(seconds=30)


def take_payment(connection: Connection, seen: PaymentSeen) -> Payment:
    """Bring the copy of a payment up to date and return it under its row lock."""
    values = {
        "captured_minor": seen.captured.minor,
        "currency": seen.captured.currency,
        "read_at": clock.now(),
    }
    place = {"connection": connection, "reference": seen.reference}
    payment = Payment.objects.select_for_update(of=("self",)).filter(**place).first()
    if payment is None:
        new = Payment(
            organization_id=connection.organization_id, order=seen.order, customer=seen.customer, **place, **values
        )
        # Somebody else may insert it at this very moment.
        Payment.objects.bulk_create([new], ignore_conflicts=True)
        payment = Payment.objects.select_for_update(of=("self",)).get(**place)
    for name, value in values.items():
        setattr(payment, name, value)
    payment.overbooked = payment.reserved_minor + payment.refunded_minor > payment.captured_minor
    payment.save(update_fields=[*values, "overbooked"])
    return payment


def take_refund(payment: Payment, receipt: Receipt, *, ours: Action | None = None) -> Refund:
    """Count a refund of the gateway exactly once, ours or not; the caller holds the payment's row lock.

    A refund of ours turns its reservation into refunded money; one that failed gives the money back to the payment.
    `ours` is the action whose key the receipt carries, where the caller holds it already.
    """
    row = Refund.objects.filter(payment=payment, reference=receipt.reference).first()
    counted = row.amount_minor if row is not None and row.status != Refund.Status.FAILED else 0
    counts = receipt.amount.minor if receipt.status != Refund.Status.FAILED else 0
    if ours is None and receipt.key:
        ours = Action.objects.filter(key=receipt.key).first()
    released = (ours.amount_minor or 0) if ours is not None and ours.holds_reservation else 0
    if row is None:
        row = Refund.objects.create(
            organization_id=payment.organization_id,
            payment=payment,
            reference=receipt.reference,
            customer=payment.customer,
            amount_minor=receipt.amount.minor,
            currency=receipt.amount.currency,
            status=receipt.status,
            cancelable=receipt.cancelable,
            # What a customer got back counts from the day it was asked for, as the shop's records do.
            created_at=(ours.case.requested_at if ours else None) or receipt.created_at,
        )
        if ours is None:
            _tell_of_foreign(payment, row, made_here=receipt.key is not None)
    elif (row.status, row.amount_minor, row.cancelable) != (receipt.status, receipt.amount.minor, receipt.cancelable):
        row.status, row.amount_minor, row.cancelable = receipt.status, receipt.amount.minor, receipt.cancelable
        row.save(update_fields=["status", "amount_minor", "cancelable"])
    if ours is not None and released:
        Action.objects.filter(pk=ours.pk).update(holds_reservation=False)
        ours.holds_reservation = False
    if released or counts != counted:
        payment.reserved_minor -= released
        payment.refunded_minor += counts - counted
        payment.overbooked = payment.reserved_minor + payment.refunded_minor > payment.captured_minor
        payment.save(update_fields=["reserved_minor", "refunded_minor", "overbooked"])
    return row


def is_known_otherwise(payment: Payment, receipt: Receipt) -> bool:
    """Whether the copy has another amount for this refund."""
    known = Refund.objects.filter(payment=payment, reference=receipt.reference)
    return known.exclude(amount_minor=receipt.amount.minor).exists()


def _tell_of_foreign(payment: Payment, refund: Refund, *, made_here: bool) -> None:
    lost = "The gateway shows a refund under a key of the desk that the desk does not know."
    record(
        "integrations.payment.refunded_elsewhere",
        actor=Actor.outside(payment.connection.slug),
        organization_id=payment.organization_id,
        subject=("payment", payment.pk),
        after={"refund": refund.reference, "amount": refund.amount_minor, "currency": refund.currency},
        reason=lost if made_here else "The gateway shows a refund that the desk did not make.",
    )


def reserve(payment_id: int, amount_minor: int) -> bool:
    """Hold money of a payment for an intent: one guarded UPDATE, so that two intents never get the same penny."""
    free = Payment.objects.filter(
        pk=payment_id,
        overbooked=False,
        captured_minor__gte=F("reserved_minor") + F("refunded_minor") + amount_minor,
    )
    return free.update(reserved_minor=F("reserved_minor") + amount_minor) == 1


def release(action: Action, payment: Payment) -> None:
    """Give back what an action held, because it certainly had no effect; the caller holds the payment's row lock."""
    if not action.holds_reservation:
        return
    action.holds_reservation = False
    payment.reserved_minor -= action.amount_minor or 0
    payment.overbooked = payment.reserved_minor + payment.refunded_minor > payment.captured_minor
    payment.save(update_fields=["reserved_minor", "overbooked"])


def reread_due(limit: int = 20) -> int:
    """Ask gateways again about payments of which news arrived; returns how many were looked at."""
    Payment.objects.filter(reread_at__lte=Now(), told_refunded_minor=F("refunded_minor")).update(reread_at=None)
    with transaction.atomic():
        payments = list(
            Payment.objects.filter(reread_at__lte=Now())
            .order_by("reread_at")
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("connection")[:limit]
        )
        Payment.objects.filter(pk__in=[payment.pk for payment in payments]).update(reread_at=Now() + _REREAD_PAUSE)
    if not payments:
        return 0
    crashpoint("reread.claimed")
    admission = admit([(payment.connection, False) for payment in payments])
    asked = [payment for payment, no in zip(payments, admission.refused, strict=True) if no is None]
    written = Logbook(admission.probes)
    try:
        with ThreadPoolExecutor(max_workers=max(len(asked), 1)) as pool:
            for payment, (reading, calls) in zip(asked, pool.map(_read, asked), strict=True):
                crashpoint("reread.read")
                _take_reading(payment, reading)
                written.add(calls)
    finally:
        written.close()
        limits.give_back(admission.permits)
    return len(payments)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A payment with its refunds as the gateway has them now; or nothing, and how long to wait before asking again."""

    seen: PaymentSeen | None = None
    receipts: Sequence[Receipt] = ()
    pause: timedelta = _REREAD_PAUSE


def _read(payment: Payment) -> tuple[_Reading, list[Call]]:
    """Ask the gateway, in a thread without a database connection; with its log rows."""
    reading, calls = _Reading(), list[Call]()
    try:
        gateway = gateway_of(payment.connection)
        calls = gateway.calls
        reading = _Reading(gateway.payment(payment.reference), gateway.refunds_of(payment.reference))
    except CallFailed as failed:
        log.warning("payment_not_reread", payment=payment.reference, error=failed.message)
        reading = _Reading(pause=max(failed.retry_after or timedelta(0), _REREAD_PAUSE))
    except Exception:
        log.exception("payment_not_reread", payment=payment.reference)
    for call in calls:
        call.part_of = READ
    return reading, calls


def _take_reading(payment: Payment, reading: _Reading) -> None:
    """Count what was read; one payment that cannot be counted keeps no other from it, and is asked about again."""
    # Our own mark lies in the future, news that came meanwhile does not: that one stays.
    marked = Payment.objects.filter(pk=payment.pk, reread_at__gt=Now())
    try:
        if reading.seen is None:
            marked.update(reread_at=Now() + reading.pause)
        else:
            _apply(payment, reading.seen, reading.receipts)
            crashpoint("reread.after_commit")
            marked.update(reread_at=None)
    except Exception as error:
        if is_lost(error):
            raise
        log.exception("payment_not_counted", payment=payment.reference)


def _apply(payment: Payment, seen: PaymentSeen, receipts: Sequence[Receipt]) -> None:
    with transaction.atomic():
        held = take_payment(payment.connection, seen)
        for receipt in receipts:
            take_refund(held, receipt)
        keys = [receipt.key for receipt in receipts if receipt.key]
        open_still = [ActionState.UNKNOWN, ActionState.SUCCEEDED, ActionState.MISMATCHED]
        Action.objects.filter(key__in=keys, state__in=open_still).update(due_at=Now())
        waking.facts_changed(payment.organization_id, target=payment.reference)
        crashpoint("reread.before_commit")
    failed = [receipt.reference for receipt in receipts if receipt.status == Refund.Status.FAILED]
    for action in Action.objects.filter(state=ActionState.VERIFIED, external_reference__in=failed, payment=payment):
        _fail_late(action)


@transaction.atomic
def _fail_late(action: Action) -> None:
    """The gateway took back a refund that had been verified: the case comes back to people as a failure."""
    case = cases.locked(action.case_id)
    # Before the case is done its own step finds out; and what was paid anew since does not fail with the old refund.
    if case.state != CaseState.DONE or Action.objects.filter(case=case, pk__gt=action.pk).exists():
        return
    failed = StepFailed(
        FailureKind.DATA,
        "The gateway reports that a verified refund failed later; the customer has not got the money.",
        connection=action.connection.slug,
    )
    case.move_to(CaseState.FAILED, standing=failed.message[:200], closed_at=None)
    old: Run = action.run
    run = new_run(old.version, case)
    run.take_over(RunState.FAILED, wake_at=None, reason=failed.message[:300], ended_at=clock.now())
    run.save()
    failing.open_failure(run, workflow=old.workflow.slug, step=action.step, failed=failed)
    record(
        "integrations.refund.failed_late",
        actor=Actor.outside(action.connection.slug),
        organization_id=action.organization_id,
        subject=("action", action.pk),
        case_id=case.pk,
        after={"refund": action.external_reference},
        reason=failed.message,
    )
