"""The shop as the desk sees it: signed events over HTTP, sent again until the desk has taken them."""

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

from standardwebhooks import Webhook

from opsdesk.demo.records import CURRENCY, Line, RefundRequest, payment_of
from opsdesk.lib.errors import DomainError

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds before a retry: doubled each time, up to the longest
ANSWER_WITHIN = 30.0
_MESSAGE = "msg_"


class DeskUnreachable(DomainError):
    """The desk took nothing for longer than the shop's patience."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the desk said in the end, and how often it had to be asked again."""

    status: int
    text: str
    retries: int

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def duplicate(self) -> bool:
        """Whether the desk had it already: 202 is for what is new."""
        return self.taken and self.status != 202


@dataclass(frozen=True, slots=True)
class Shop:
    """Posts events to one address, signed by the Standard Webhooks scheme."""

    url: str
    secret: str
    patience: float = 600.0  # seconds that one event is tried for
    sleep: Callable[[float], None] = field(default=time.sleep)

    def deliver(self, request: RefundRequest) -> Answer:
        """Post one request until the desk takes or refuses it; a lost answer is asked for again.

        Raises DeskUnreachable when there is neither within the shop's patience.
        """
        body = event_of(request)
        waited, pause, retries = 0.0, FIRST_PAUSE, 0
        while True:
            try:
                status, text, retry_after = self._post(event_id(request), body)
            except (OSError, http.client.HTTPException) as trouble:
                reason, retry_after = str(trouble) or type(trouble).__name__, 0.0
            else:
                if status != 429 and status < 500:
                    return Answer(status, text, retries)
                reason = f"it answered {status}"
            wait = max(pause, min(retry_after, LONGEST_PAUSE))
            if waited + wait > self.patience:
                raise DeskUnreachable(f"{self.url} took nothing for {waited:.0f} seconds: {reason}.")
            self.sleep(wait)
            waited, pause, retries = waited + wait, min(pause * 2, LONGEST_PAUSE), retries + 1

    def _post(self, message: str, body: bytes) -> tuple[int, str, float]:
        """Send once, on a connection of its own; gives status, text, and seconds to wait before a retry."""
        address = urlsplit(self.url)
        secure = address.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(address.netloc, timeout=ANSWER_WITHIN)
        try:
            connection.request("POST", address.path or "/", body, self._headers(message, body))
            response = connection.getresponse()
            text = response.read(2000).decode(errors="replace")
            retry_after = response.headers.get("Retry-After", "")
            return response.status, text, float(retry_after) if retry_after.isdigit() else 0.0
        finally:
            connection.close()

    def _headers(self, message: str, body: bytes) -> dict[str, str]:
        moment = datetime.now(UTC)
        return {
            "content-type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(message, moment, body.decode()),
        }


def event_id(request: RefundRequest) -> str:
    """The id of the message, the same however often it is sent."""
    return f"{_MESSAGE}{request.reference}"


def reference_of(message: str) -> str:
    """The request that a message id belongs to."""
    return message.removeprefix(_MESSAGE)


def event_of(request: RefundRequest) -> bytes:
    """The event that says a refund is asked for, as the shop writes it."""
    moment = request.requested_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {
        "type": "refund.requested",
        "timestamp": moment,
        "data": {
            "reference": request.reference,
            "order": request.order,
            "payment": payment_of(request.order) if request.order else None,
            "customer": request.customer,
            "amount": _major(request.amount_minor),
            "currency": CURRENCY,
            "reason": request.reason,
            "requested_at": moment,
            "requested_by": "shop form" if request.customer else "shop back office",
            "lines": [_line(line) for line in request.lines],
        },
    }
    return json.dumps(event).encode()


def _line(line: Line) -> dict[str, object]:
    return {
        "sku": line.sku,
        "description": line.description,
        "quantity": line.quantity,
        "unit_price": _major(line.unit_price_minor),
    }


def _major(minor: int) -> str:
    return f"{Decimal(minor) / 100:.2f}"
