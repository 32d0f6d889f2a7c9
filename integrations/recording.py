"""Recording what came of a try: the only place where an action's answer changes rows."""

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models.functions import Now

from auditlog.services import Actor, record
from integrations import mirroring
from integrations.errors import CallFailed
from integrations.gateways import Receipt
from integrations.models import Action, Payment, Refund
from integrations.states import ActionState
from opsdesk.lib import clock
from workflows import cases
from workflows.engine import repairing
from workflows.engine.failing import pause_before
from workflows.states import FailureKind

if TYPE_CHECKING:
    from integrations.sending import Answer

# Tries of a call that certainly had no effect; outages do not count, a person sees those on the connections page.
MOST_ATTEMPTS = 6
_PENDING_PAUSE = timedelta(seconds=20)
_WRITTEN = [
    "state", "due_at", "lease_until", "external_reference", "message", "succeeded_at", "verified_at",
    "holds_reservation",
    "first_sent_at",
]  # fmt: skip


@transaction.atomic
def record_answer(action: Action, answer: "Answer") -> None:
    """Write down what one try brought; a worker whose lease has expired writes nothing."""
    case = cases.locked(action.case_id)
    payment = Payment.objects.select_for_update(of=("self",)).get(pk=action.payment_id)
    fresh = Action.objects.select_for_update(of=("self",)).get(pk=action.pk)
    fresh.case = case
    if fresh.epoch != action.epoch:
        return
    fresh.sent_before = action.sent_before
    fresh.lease_until = None
    if answer.receipt is not None:
        _succeeded(fresh, payment, answer)
    elif answer.trouble is not None:
        _troubled(fresh, answer.trouble)
    else:
        _failed(fresh, "The gateway has no such refund and the key has expired: it never happened.")
    fresh.save(update_fields=_WRITTEN)
    if fresh.due_at is None:
        repairing.resume(fresh.run_id)


def _move(action: Action, state: ActionState, **changes: object) -> None:
    action.check_move(state)
    action.take_over(state, **changes)


def _tell(action: Action, verb: str, reason: str, **after: object) -> None:
    record(
        f"integrations.action.{verb}",
        actor=Actor.outside(f"gateway connection {action.connection_id}") if verb == "failed" else Actor.desk("sender"),
        organization_id=action.organization_id,
        subject=("action", action.pk),
        case_id=action.case_id,
        after={"state": action.state, "attempt": action.attempts, **after},
        reason=reason,
    )


def _succeeded(action: Action, payment: Payment, answer: "Answer") -> None:
    receipt = answer.read_back or answer.receipt
    assert receipt is not None  # noqa: S101 - for the type checker: the caller has looked
    mirroring.take_refund(payment, receipt, ours=action if receipt.key in (None, action.key) else None)
    if action.state == ActionState.SENDING:
        _move(
            action,
            ActionState.SUCCEEDED,
            external_reference=receipt.reference,
            succeeded_at=clock.now(),
            message="The gateway accepted it.",
        )
        _tell(action, "succeeded", "The gateway accepted the refund.", refund=receipt.reference)
    if answer.read_back is None:
        text = answer.trouble.message if answer.trouble else "Not read back yet."
        action.message, action.due_at = text[:300], clock.now() + pause_before(action.attempts)
        return
    _verify(action, payment, answer.read_back)


def _verify(action: Action, payment: Payment, seen: Receipt) -> None:
    """Done is what the world shows, not what the call returned."""
    if seen.status == Refund.Status.PENDING:
        action.message, action.due_at = (
            "The gateway has not carried it out yet.",
            clock.now() + _PENDING_PAUSE,
        )
        return
    differs = _differences(action, payment, seen)
    if differs and action.state == ActionState.MISMATCHED:
        action.due_at, action.message = None, differs[:300]
        return
    if differs:
        _move(action, ActionState.MISMATCHED, due_at=None, message=differs[:300])
        _tell(action, "mismatched", differs, refund=seen.reference)
        # One answer may be wrong; what the payment shows is looked at once more.
        Payment.objects.filter(pk=payment.pk).update(reread_at=Now(), told_refunded_minor=None)
        return
    _move(
        action,
        ActionState.VERIFIED,
        due_at=None,
        verified_at=clock.now(),
        message="Read back from the gateway.",
    )
    _tell(
        action,
        "verified",
        f"The gateway shows refund {seen.reference} over {seen.amount}.",
        refund=seen.reference,
    )


def _differences(action: Action, payment: Payment, seen: Receipt) -> str:
    if seen.status == Refund.Status.FAILED:
        return "The gateway accepted the refund and then failed it."
    if seen.amount != action.amount:
        return f"The gateway refunded {seen.amount} instead of {action.amount}."
    if seen.payment != payment.reference:
        return f"The gateway refunded {seen.payment} instead of {payment.reference}."
    return ""


def _troubled(action: Action, trouble: CallFailed) -> None:
    doubt = trouble.effect_possible or action.sent_before
    if action.state in (ActionState.SUCCEEDED, ActionState.MISMATCHED):
        action.message, action.due_at = trouble.message[:300], clock.now() + pause_before(action.attempts)
        return
    if trouble.kind == FailureKind.DATA and not trouble.effect_possible:
        _failed(action, f"The gateway refuses: {trouble.message}")
        return
    if doubt:
        _move(
            action,
            ActionState.UNKNOWN,
            due_at=clock.now() + pause_before(action.attempts, trouble.retry_after),
            message=trouble.message[:300],
        )
        _tell(action, "unknown", f"Whether it happened is not known: {trouble.message}")
        return
    if trouble.kind == FailureKind.TRANSIENT and action.attempts >= MOST_ATTEMPTS:
        _failed(action, f"Given up after {action.attempts} tries without effect: {trouble.message}")
        return
    # Certainly nothing happened: it may simply be sent again, later.
    _move(
        action,
        ActionState.RESERVED,
        due_at=clock.now() + pause_before(action.attempts, trouble.retry_after),
        message=trouble.message[:300],
        first_sent_at=None,
    )


def _failed(action: Action, words: str) -> None:
    mirroring.release(action)
    _move(action, ActionState.FAILED, due_at=None, message=words[:300])
    _tell(action, "failed", words)
