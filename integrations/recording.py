"""Recording what came of a try: the only place where an action's answer changes rows."""

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models.functions import Now

from auditlog.services import Actor, record
from integrations import mirroring
from integrations.errors import CallFailed, NobodyKnows
from integrations.gateways import Receipt
from integrations.models import Action, Payment, Refund
from integrations.operations import Effect, Seen, operation_of
from integrations.reversing import standing as reversing
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.crashing import crashpoint
from workflows import cases
from workflows.engine import repairing
from workflows.engine.failing import pause_before
from workflows.states import FailureKind, WaitsFor

if TYPE_CHECKING:
    from integrations.sending import Answer

# After so many tries a gateway that stumbles over an action each time is asked seldom.
_STUBBORN_AFTER = 6
_STUBBORN_PAUSE = timedelta(minutes=10)
_PENDING_PAUSE = timedelta(seconds=20)
_SHOWN_WITHIN = timedelta(minutes=10)
_WRITTEN = [
    "state", "due_at", "lease_until", "external_reference", "message", "succeeded_at", "verified_at",
    "holds_reservation",
    "first_sent_at",
]  # fmt: skip


@transaction.atomic
def record_answer(action: Action, answer: "Answer") -> None:
    """Write down what one try brought; a worker whose lease has expired writes nothing."""
    case = cases.locked(action.case_id)
    payment = None
    if action.payment_id is not None:
        payment = Payment.objects.select_for_update(of=("self",)).get(pk=action.payment_id)
    fresh = Action.objects.select_related("connection").select_for_update(of=("self",)).get(pk=action.pk)
    fresh.case = case
    if fresh.epoch != action.epoch:
        return
    fresh.sent_before = action.sent_before
    fresh.lease_until = None
    if answer.seen is not None:
        _succeeded(fresh, payment, answer)
    elif answer.trouble is not None:
        _troubled(fresh, payment, answer.trouble)
    else:
        _failed(fresh, payment, answer.never_happened)
    fresh.save(update_fields=_WRITTEN)
    if fresh.due_at is None:
        repairing.resume(fresh.run_id)
    else:
        repairing.tell(
            fresh.run_id, waits_for=WaitsFor.ACTION, reason=f"{fresh.operation.capitalize()}: {fresh.message}"
        )
    crashpoint("record.before_commit")


def _move(action: Action, state: ActionState, **changes: object) -> None:
    action.check_move(state)
    action.take_over(state, **changes)


def _tell(action: Action, verb: str, reason: str, **after: object) -> None:
    record(
        f"integrations.action.{verb}",
        actor=Actor.outside(action.connection.slug) if verb == "failed" else Actor.desk("sender"),
        organization_id=action.organization_id,
        subject=("action", action.pk),
        case_id=action.case_id,
        after={"state": action.state, "attempt": action.attempts, **after},
        reason=reason,
    )


def _who(action: Action) -> str:
    """The other side as messages name it."""
    return "The gateway" if action.moves_money else action.connection.name


def _receipt(action: Action, effect: Effect) -> Receipt:
    """What an operation that moves money answered; anything else is a defect of its connector."""
    if not isinstance(effect, Receipt):
        raise TypeError(f"{action.connection}: {action.operation} moves money and answered with no receipt.")
    return effect


def _succeeded(action: Action, payment: Payment | None, answer: "Answer") -> None:
    effect = answer.read_back or answer.seen
    assert effect is not None  # noqa: S101 - for the type checker: the caller has looked
    if payment is not None:
        receipt = _receipt(action, effect)
        if action.state == ActionState.MISMATCHED and mirroring.is_known_otherwise(payment, receipt):
            # The payment was looked at in between and showed something else: one of the two was wrong again.
            # Two answers that differ for ever are for people; they are asked seldom then.
            old = action.succeeded_at is not None and action.succeeded_at < clock.now() - _SHOWN_WITHIN
            pause = _STUBBORN_PAUSE if old else _PENDING_PAUSE
            Payment.objects.filter(pk=payment.pk).update(reread_at=Now() + pause, told_refunded_minor=None)
        mirroring.take_refund(payment, receipt, ours=action if receipt.key in (None, action.key) else None)
    if action.state == ActionState.SENDING:
        _move(
            action,
            ActionState.SUCCEEDED,
            external_reference=effect.reference[:100],
            succeeded_at=clock.now(),
            message=f"{_who(action)} accepted it.",
        )
        _tell(action, "succeeded", f"{_who(action)} accepted the {action.operation}.", reference=effect.reference)
    if answer.final:
        action.due_at, action.message = None, f"{_who(action)} accepted it; it cannot be read back."
    elif answer.read_back is None:
        _read_back_later(action, answer.trouble)
    else:
        _verify(action, payment, answer.read_back)


def _read_back_later(action: Action, trouble: CallFailed | None) -> None:
    text = trouble.message if trouble else "Not read back yet."
    pause = pause_before(action.attempts, trouble.retry_after if trouble else None)
    action.message, action.due_at = text[:300], Now() + pause


def _verify(action: Action, payment: Payment | None, seen: Effect) -> None:
    """Done is what the world shows, not what the call returned."""
    if seen.status == Refund.Status.PENDING:
        action.message, action.due_at = f"{_who(action)} has not carried it out yet.", Now() + _PENDING_PAUSE
        return
    differs = _differences(action, payment, seen)
    if differs:
        _mismatched(action, differs)
        return
    who = _who(action).lower() if payment is not None else _who(action)
    _move(action, ActionState.VERIFIED, due_at=None, verified_at=clock.now(), message=f"Read back from {who}.")
    over = f" over {_receipt(action, seen).amount}" if payment is not None else ""
    words = f"{_who(action)} shows {action.operation} {seen.reference}{over}."
    _tell(action, "verified", words, reference=seen.reference)
    crashpoint("verify.before_commit")


def _mismatched(action: Action, words: str) -> None:
    if action.state == ActionState.MISMATCHED:
        action.due_at, action.message = None, words[:300]
        return
    _move(action, ActionState.MISMATCHED, due_at=None, message=words[:300])
    _tell(action, "mismatched", words, reference=action.external_reference)
    # One answer may be wrong; what the payment shows is looked at once more.
    if action.payment_id is not None:
        Payment.objects.filter(pk=action.payment_id).update(reread_at=Now(), told_refunded_minor=None)


def _differences(action: Action, payment: Payment | None, seen: Effect) -> str:
    if seen.status == Refund.Status.FAILED:
        taken_back = reversing.taken_back_words(action.pk)
        return taken_back or f"{_who(action)} accepted the {action.operation} and then failed it."
    if payment is None:
        return seen.differs if isinstance(seen, Seen) else ""
    receipt = _receipt(action, seen)
    if receipt.amount != action.amount:
        return f"The gateway refunded {receipt.amount} instead of {action.amount}."
    if receipt.payment != payment.reference:
        return f"The gateway refunded {receipt.payment} instead of {payment.reference}."
    return ""


def _troubled(action: Action, payment: Payment | None, trouble: CallFailed) -> None:
    doubt = trouble.effect_possible or action.sent_before
    if action.state in (ActionState.SUCCEEDED, ActionState.MISMATCHED):
        _not_read_back(action, trouble)
        return
    if trouble.kind == FailureKind.DATA and not trouble.effect_possible:
        _failed(action, payment, f"{_who(action)} refuses: {trouble.message}")
        return
    if isinstance(trouble, NobodyKnows):
        _move(action, ActionState.UNKNOWN, due_at=None, message=trouble.message[:300])
        _tell(action, "unknown", trouble.message)
        return
    if doubt:
        # A gateway that stumbles over it each time is asked seldom; one that is down, as soon as it may be up.
        stubborn = trouble.kind != FailureKind.INFRASTRUCTURE and action.attempts > _STUBBORN_AFTER
        told = max(trouble.retry_after or timedelta(0), _STUBBORN_PAUSE if stubborn else timedelta(0))
        _move(
            action,
            ActionState.UNKNOWN,
            due_at=Now() + pause_before(action.attempts, told),
            message=trouble.message[:300],
        )
        _tell(action, "unknown", f"Whether it happened is not known: {trouble.message}")
        return
    if trouble.kind == FailureKind.TRANSIENT and action.attempts >= _most_attempts(action):
        _failed(action, payment, f"Given up after {action.attempts} tries without effect: {trouble.message}")
        return
    # Certainly nothing happened: it may simply be sent again, later.
    _move(
        action,
        ActionState.RESERVED,
        due_at=Now() + pause_before(action.attempts, trouble.retry_after),
        message=trouble.message[:300],
        first_sent_at=None,
    )


def _most_attempts(action: Action) -> int:
    operation = operation_of(action.connection, action.operation)
    return (operation.most_attempts if operation else None) or action.connection.most_attempts


def _not_read_back(action: Action, trouble: CallFailed) -> None:
    """What was accepted may take a moment to be shown; one that is not known later is for people."""
    if trouble.kind == FailureKind.DATA and action.succeeded_at and action.succeeded_at < clock.now() - _SHOWN_WITHIN:
        words = f"{_who(action)} accepted the {action.operation} and does not show it: {trouble.message}"
        _mismatched(action, words)
        return
    _read_back_later(action, trouble)


def _failed(action: Action, payment: Payment | None, words: str) -> None:
    if payment is not None:
        mirroring.release(action, payment)
    _move(action, ActionState.FAILED, due_at=None, message=words[:300])
    _tell(action, "failed", words)
