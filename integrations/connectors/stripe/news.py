"""News of refunds: a webhook only says where to look, so the order in which such news comes does not matter.

Most news is an echo of what the desk did itself; what brings nothing new costs no call.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from integrations.connectors.stripe.documents import INTENT, Odd, receipt
from integrations.models import Action, Payment, Refund
from integrations.states import ActionState
from opsdesk.lib import queue
from opsdesk.lib.money import LARGEST
from workflows import registry
from workflows.models import Event
from workflows.registry import Reading

REFUND_NEWS = ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")
# Our own refund is usually recorded by then, and the news about it with it.
_ECHO_PAUSE = timedelta(seconds=5)
_BEING_RECORDED = (ActionState.SENDING, ActionState.SUCCEEDED, ActionState.VERIFIED)


def refund_changed(event: Event, reading: Reading) -> str:
    """News about one refund: read its payment again, unless the desk has it just so, or is recording it."""
    document = _object_of(reading)
    try:
        told = receipt(document)
    except Odd as odd:
        return f"The news makes no sense ({odd}); the payment is read again." + _reread(event, document)
    known = Refund.objects.filter(
        reference=told.reference,
        payment__in=_payments(event, told.payment),
        status=told.status,
        amount_minor=told.amount.minor,
        cancelable=told.cancelable,
    )
    if known.exists():
        return f"Refund {told.reference} is known just so."
    ours = Action.objects.filter(key=told.key, state__in=_BEING_RECORDED) if told.key else Action.objects.none()
    if told.status != Refund.Status.FAILED and ours.exists():
        return f"Refund {told.reference} is ours and being recorded."
    return _reread(event, document)


def charge_refunded(event: Event, reading: Reading) -> str:
    """News about how much of a charge went back in all: compared in a moment, read again only if it differs."""
    document = _object_of(reading)
    total = document.get("amount_refunded")
    if not isinstance(total, int) or isinstance(total, bool) or not 0 <= total <= LARGEST:
        return _reread(event, document)
    reference = str(document.get("payment_intent") or "")
    payments = _payments(event, reference)
    # Other news that waits to be read is not covered by this one: which of them is older, nobody can tell.
    alone = payments.filter(Q(reread_at=None) | Q(told_refunded_minor=total))
    if alone.update(told_refunded_minor=total, reread_at=Now() + _ECHO_PAUSE):
        return f"Payment {reference[:60]} is compared in a moment."
    return _reread(event, document)


def _object_of(reading: Reading) -> Mapping[str, Any]:
    found = reading.data.get("object")
    return found if isinstance(found, Mapping) else {}


def _payments(event: Event, reference: str) -> QuerySet[Payment]:
    """The payment, if it belongs to the connection whose endpoint brought the news."""
    return Payment.objects.filter(
        organization_id=event.organization_id,
        reference=reference,
        connection__endpoints__slug=event.source.partition("/")[2],
    )


def _reread(event: Event, document: Mapping[str, Any]) -> str:
    reference = document.get("payment_intent")
    if not isinstance(reference, str) or not INTENT.fullmatch(reference):
        return "The news names no payment; nothing to read again."
    if _payments(event, reference).update(reread_at=Now(), told_refunded_minor=None) == 0:
        return _nobody(reference)
    queue.ring("integrations.send_due")
    return f"Payment {reference[:60]} is read again."


def _nobody(reference: str) -> str:
    return f"The desk has no case about payment {reference[:60]}."


def subscribe() -> None:
    """Listen to what Stripe's documentation says about refunds."""
    registry.add_news("charge.refunded", charge_refunded)
    for event_type in REFUND_NEWS:
        registry.add_news(event_type, refund_changed)
