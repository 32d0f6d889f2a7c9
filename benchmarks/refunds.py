"""The parts of the refund line's measurement that need the desk's own rows, run as a process of their own."""

import json
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from urllib.request import Request, urlopen

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db.models import Max  # noqa: E402
from standardwebhooks import Webhook  # noqa: E402

from accounts.models import Organization  # noqa: E402
from benchmarks import load  # noqa: E402
from integrations.gateways import gateway_of  # noqa: E402
from integrations.models import Action, Connection, Customer, Order, OrderLine, Payment  # noqa: E402
from integrations.states import ActionState  # noqa: E402
from opsdesk.demo import cast  # noqa: E402
from opsdesk.lib.money import Money  # noqa: E402
from workflows.models import Case  # noqa: E402

_AMOUNT_MINOR, _TOTAL_MINOR = 495, 9_900
_PATIENCE_SECONDS = 180
_LOOP_SHARE = "loop"


def _references(prefix: str, count: int) -> list[str]:
    return [f"{prefix}x{number}" for number in range(count)]


def prepare(prefix: str, count: int) -> None:
    """Customers, orders and payments that the rules find ordinary, in the mirrors and at the gateway."""
    organization = Organization.objects.get(slug=cast.ORGANIZATION)
    gateway = Connection.objects.get(organization=organization, slug="gateway")
    now = datetime.now(UTC)
    names = [*_references(prefix, count), *_references(f"{_LOOP_SHARE}{prefix}", count)]
    Customer.objects.bulk_create(
        Customer(organization=organization, reference=name, name="", since=now - timedelta(days=400)) for name in names
    )
    orders = Order.objects.bulk_create(
        Order(
            organization=organization,
            number=name,
            customer=name,
            placed_at=now - timedelta(days=5),
            total_minor=_TOTAL_MINOR,
            currency="GBP",
            payment=f"pi_{name}",
        )
        for name in names
    )
    OrderLine.objects.bulk_create(
        OrderLine(order=order, sku="22556", description="Plasters", quantity=20, unit_price_minor=_AMOUNT_MINOR)
        for order in orders
    )
    Payment.objects.bulk_create(
        Payment(
            organization=organization,
            connection=gateway,
            reference=f"pi_{name}",
            order=name,
            customer=name,
            currency="GBP",
            captured_minor=_TOTAL_MINOR,
        )
        for name in names
    )
    seeds = [
        {"id": f"pi_{name}", "charge": f"ch_{name}", "amount": _TOTAL_MINOR, "currency": "gbp",
         "created": int((now - timedelta(days=5)).timestamp()), "metadata": {"order": name}}
        for name in names
    ]  # fmt: skip
    address = f"http://127.0.0.1:{settings.GATEWAY_PORT}/_sandbox/seed"
    request = Request(address, json.dumps(seeds).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        answer.read()


def loop(prefix: str, count: int) -> float:
    """The same gateway calls without a desk, one after another: read the payment, refund, read back."""
    organization = Organization.objects.get(slug=cast.ORGANIZATION)
    gateway = gateway_of(Connection.objects.get(organization=organization, slug="gateway"))
    started = time.perf_counter()
    for name in _references(f"{_LOOP_SHARE}{prefix}", count):
        gateway.payment(f"pi_{name}")
        receipt = gateway.refund(
            payment=f"pi_{name}", amount=Money(_AMOUNT_MINOR, "GBP"), key=uuid.uuid4(), case="bench"
        )
        gateway.retrieve_refund(receipt.reference)
    return count / (time.perf_counter() - started)


def _signed(name: str) -> bytes:
    now = datetime.now(UTC)
    data = {
        "reference": name, "order": name, "payment": f"pi_{name}", "customer": name, "amount": "4.95",
        "currency": "GBP", "reason": "returned", "requested_at": now.isoformat(), "requested_by": "bench",
        "lines": [{"sku": "22556", "description": "Plasters", "quantity": 1, "unit_price": "4.95"}],
    }  # fmt: skip
    body = json.dumps({"type": "refund.requested", "timestamp": now.isoformat(), "data": data})
    message = f"msg_{uuid.uuid4().hex}"
    headers = {
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(cast.SHOP_WEBHOOK_SECRET).sign(message, now, body),
    }
    return load.post(f"/hooks/{cast.ORGANIZATION}/shop/", body.encode(), headers)


def line(prefix: str, count: int) -> float:
    """Post all requests at once and wait until every refund is verified: verified refunds a second."""
    requests = [_signed(name) for name in _references(prefix, count)]
    started = datetime.now(UTC)
    load.send(settings.WEB_PORT, requests, connections=8)
    ours = Action.objects.filter(case__key__startswith=f"{prefix}x", state=ActionState.VERIFIED)
    end = time.monotonic() + _PATIENCE_SECONDS
    while ours.count() < count:
        if time.monotonic() > end:
            standings = list(Case.objects.filter(key__startswith=f"{prefix}x").values_list("state", "standing")[:5])
            raise RuntimeError(f"Only {ours.count()} of {count} were verified; cases stand like {standings}.")
        time.sleep(0.1)
    last = ours.aggregate(last=Max("verified_at"))["last"]
    return count / (last - started).total_seconds()


if __name__ == "__main__":
    verb, prefix, count = sys.argv[1:]
    print({"prepare": prepare, "loop": loop, "line": line}[verb](prefix, int(count)))
