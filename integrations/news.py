"""News from gateways: a webhook only says where to look, so the order in which they come does not matter."""

from collections.abc import Mapping
from typing import Any

from django.db.models.functions import Now

from integrations.models import Endpoint, Payment
from opsdesk.lib import queue
from workflows import registry
from workflows.models import Event
from workflows.registry import Reading

REFUND_NEWS = (
    "charge.refunded",
    "charge.refund.updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
)


def refund_changed(event: Event, reading: Reading) -> str:
    """Have the payment that the news is about read again."""
    found = reading.data.get("object")
    about: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    reference = about.get("payment_intent")
    if not isinstance(reference, str) or not reference:
        return "The news names no payment; nothing to read again."
    slug = event.source.partition("/")[2]
    endpoint = Endpoint.objects.filter(organization_id=event.organization_id, slug=slug).first()
    if endpoint is None:
        return "The endpoint no longer exists."
    known = Payment.objects.filter(connection_id=endpoint.connection_id, reference=reference)
    if known.update(reread_at=Now()) == 0:
        return f"The desk has no case about payment {reference[:60]}."
    queue.ring("integrations.send_due")
    return f"Payment {reference[:60]} is read again."


def register() -> None:
    """Subscribe to what Stripe's documentation says about refunds."""
    for event_type in REFUND_NEWS:
        registry.add_news(event_type, refund_changed)
