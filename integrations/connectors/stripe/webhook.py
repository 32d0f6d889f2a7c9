"""What a Stripe event says."""

from integrations.connectors.stripe.documents import Odd, moment
from integrations.readers import event_type
from integrations.strictjson import read_object
from workflows.errors import Unreadable
from workflows.registry import Reading


def read_stripe_event(body: bytes) -> Reading:
    """Read an event object; its data has the `object` it is about. Raises Unreadable."""
    event = read_object(body)
    if event.get("object") != "event":
        raise Unreadable("The body is no Stripe event.")
    data = event.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("object"), dict):
        raise Unreadable("The Stripe event is about nothing.")
    try:
        occurred_at = moment(event.get("created"))
    except Odd as odd:
        raise Unreadable("The Stripe event does not say when it happened.") from odd
    return Reading(event_type(event), data, occurred_at)
