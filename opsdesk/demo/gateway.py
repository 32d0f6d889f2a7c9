"""Giving the demonstration gateway the past that the desk's copies tell of."""

import http.client
import json
from typing import Any

from django.conf import settings

from opsdesk.demo.records import CURRENCY, Excerpt, Order, Refund, payment_of
from opsdesk.lib.errors import DomainError

_ANSWER_WITHIN = 60.0


class GatewayAway(DomainError):
    """The demonstration gateway does not answer."""

    message = "The demonstration gateway does not answer."


def seed(excerpt: Excerpt) -> int:
    """Have the gateway know every payment and past refund; returns how many were new to it.

    What it has already stays as it is. Raises GatewayAway, or ValueError with the gateway's own words when it
    refuses.
    """
    refunded = excerpt.refunded_before()
    wish = [_payment(order, refunded[order.number]) for order in excerpt.orders if order.total_minor]
    if _call("GET", "/healthz")["payments"] >= len(wish):
        return 0
    return int(_call("POST", "/_sandbox/seed", wish)["created"])


def _payment(order: Order, refunds: list[Refund]) -> dict[str, Any]:
    return {
        "id": payment_of(order.number),
        "amount": order.total_minor,
        "currency": CURRENCY,
        "created": order.ordered_at.isoformat(),
        "customer": order.customer,
        "metadata": {"order": order.number},
        "refunds": [
            {
                "id": refund.gateway_id,
                "amount": refund.amount_minor,
                "created": refund.refunded_at.isoformat(),
            }
            for refund in refunds
        ],
    }


def _call(method: str, path: str, wish: object = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", settings.GATEWAY_PORT, timeout=_ANSWER_WITHIN)
    body = None if wish is None else json.dumps(wish)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    except (OSError, http.client.HTTPException, json.JSONDecodeError) as trouble:
        raise GatewayAway from trouble
    finally:
        connection.close()
    if response.status >= 400:
        raise ValueError(f"The demonstration gateway refused {path}: {answer}")
    return answer
