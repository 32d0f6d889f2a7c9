"""Ordinary purchases of a week ago, to ask refunds of that the rules find nothing odd about.

Run with the settings of a desk: `python -m tests.chaos.ordinary COUNT`.
"""

import json
import sys
from datetime import datetime, timedelta
from urllib.request import Request, urlopen

from opsdesk.demo.records import Line, RefundRequest, payment_of

TOTAL_MINOR = 30_000
# One article, of which enough was bought for any refund that is asked for here.
SKU, DESCRIPTION, PRICE_MINOR = "22556", "PLASTERS IN TIN CIRCUS PARADE", 500
INSTANT, FAST_TRACK, FULL_REVIEW = 1, 8, 40  # articles returned: below the first threshold, above it, above the second


def request_for(number: int, articles: int, *, at: datetime) -> RefundRequest:
    """A request for money back for so many articles of the purchase with this number."""
    name = name_of(number)
    lines = (Line(SKU, DESCRIPTION, articles, PRICE_MINOR),)
    return RefundRequest(f"R-{name}", name, name, at, articles * PRICE_MINOR, "returned", lines)


def name_of(number: int) -> str:
    """Of the customer and of the order."""
    return f"ordinary{number}"


def plant(count: int) -> None:
    """Customers, orders and payments in the desk's copies and at its gateway."""
    from django.conf import settings

    from accounts.models import Organization
    from integrations.models import Connection, Customer, Order, OrderLine, Payment
    from opsdesk.demo import cast
    from opsdesk.lib import clock

    organization = Organization.objects.get(slug=cast.ORGANIZATION)
    gateway = Connection.objects.get(organization=organization, slug="gateway")
    placed_at = clock.now() - timedelta(days=7)
    names = [name_of(number) for number in range(count)]
    Customer.objects.bulk_create(
        Customer(organization=organization, reference=name, name=name, since=placed_at - timedelta(days=400))
        for name in names
    )
    orders = Order.objects.bulk_create(
        Order(
            organization=organization,
            number=name,
            customer=name,
            placed_at=placed_at,
            total_minor=TOTAL_MINOR,
            currency=cast.CURRENCY,
            payment=payment_of(name),
        )
        for name in names
    )
    OrderLine.objects.bulk_create(
        OrderLine(order=order, sku=SKU, description=DESCRIPTION, quantity=60, unit_price_minor=PRICE_MINOR)
        for order in orders
    )
    Payment.objects.bulk_create(
        Payment(
            organization=organization,
            connection=gateway,
            reference=payment_of(name),
            order=name,
            customer=name,
            currency=cast.CURRENCY,
            captured_minor=TOTAL_MINOR,
        )
        for name in names
    )
    wish = [
        {
            "id": payment_of(name),
            "amount": TOTAL_MINOR,
            "currency": cast.CURRENCY,
            "created": placed_at.isoformat(),
            "customer": name,
            "metadata": {"order": name},
        }
        for name in names
    ]
    body, headers = json.dumps(wish).encode(), {"Content-Type": "application/json"}
    address = f"http://127.0.0.1:{settings.GATEWAY_PORT}/_sandbox/seed"
    with urlopen(Request(address, body, headers), timeout=60) as answer:
        answer.read()


if __name__ == "__main__":
    import django

    django.setup()
    plant(int(sys.argv[1]))
