"""The excerpt as copies of the shop's and the gateway's records, in few statements."""

from accounts.models import Organization
from integrations.models import Connection, Customer, Order, OrderLine, Payment, Refund
from opsdesk.demo import records
from opsdesk.demo.records import CURRENCY, Excerpt, payment_of

_AT_ONCE = 5_000


def fill(organization: Organization, gateway: Connection, excerpt: Excerpt) -> None:
    """Add every record that is not there yet; what is there stays as it is."""
    _fill_customers(organization, excerpt)
    _fill_orders(organization, excerpt)
    _fill_payments(organization, gateway, excerpt)


def loaded_weeks(organization: Organization) -> int | None:
    """By how many weeks the loaded records were moved; None when none are loaded."""
    number, source_day = records.first_order()
    order = Order.objects.filter(organization=organization, number=number).first()
    return (order.placed_at.astimezone(records.ZONE).date() - source_day).days // 7 if order else None


def _fill_customers(organization: Organization, excerpt: Excerpt) -> None:
    Customer.objects.bulk_create(
        (
            Customer(
                organization=organization,
                reference=customer.reference,
                name=customer.name,
                country=customer.country,
                since=customer.first_purchase_at,
            )
            for customer in excerpt.customers
        ),
        batch_size=_AT_ONCE,
        ignore_conflicts=True,
    )


def _fill_orders(organization: Organization, excerpt: Excerpt) -> None:
    known = set(Order.objects.filter(organization=organization).values_list("number", flat=True))
    new = [order for order in excerpt.orders if order.number not in known]
    rows = Order.objects.bulk_create(
        (
            Order(
                organization=organization,
                number=order.number,
                customer=order.customer,
                placed_at=order.ordered_at,
                total_minor=order.total_minor,
                currency=CURRENCY,
                payment=payment_of(order.number) if order.total_minor else "",
            )
            for order in new
        ),
        batch_size=_AT_ONCE,
    )
    OrderLine.objects.bulk_create(
        (
            OrderLine(
                order=row,
                sku=line.sku,
                description=line.description,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
            )
            for row, order in zip(rows, new, strict=True)
            for line in order.lines
        ),
        batch_size=_AT_ONCE,
    )


def _fill_payments(organization: Organization, gateway: Connection, excerpt: Excerpt) -> None:
    """Every order was paid in full at the gateway, and past refunds went back over that payment."""
    refunded = excerpt.refunded_before()
    known = set(Payment.objects.filter(connection=gateway).values_list("reference", flat=True))
    paid = [order for order in excerpt.orders if order.total_minor and payment_of(order.number) not in known]
    rows = Payment.objects.bulk_create(
        (
            Payment(
                organization=organization,
                connection=gateway,
                reference=payment_of(order.number),
                order=order.number,
                customer=order.customer,
                currency=CURRENCY,
                captured_minor=order.total_minor,
                refunded_minor=sum(refund.amount_minor for refund in refunded[order.number]),
            )
            for order in paid
        ),
        batch_size=_AT_ONCE,
    )
    Refund.objects.bulk_create(
        (
            Refund(
                organization=organization,
                payment=row,
                reference=refund.gateway_id,
                customer=refund.customer,
                amount_minor=refund.amount_minor,
                currency=CURRENCY,
                status=Refund.Status.SUCCEEDED,
                created_at=refund.refunded_at,
            )
            for row, order in zip(rows, paid, strict=True)
            for refund in refunded[order.number]
        ),
        batch_size=_AT_ONCE,
    )
