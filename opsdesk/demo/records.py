"""The excerpt as objects, with every moment moved to the recent past."""

import csv
import gzip
import io
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

DATA = Path(__file__).parent / "data"
ZONE = ZoneInfo("Europe/London")
CURRENCY = "GBP"
LAST_DAY = date(2011, 8, 31)  # of the requests in the excerpt


@dataclass(frozen=True, slots=True)
class Line:
    """So many of one article; the price is that of one, in pence."""

    sku: str
    description: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer: a number in the source, and never more than that."""

    reference: str
    country: str
    first_purchase_at: datetime | None

    @property
    def name(self) -> str:
        return f"Customer {self.reference}"


@dataclass(frozen=True, slots=True)
class Order:
    """A purchase. Its lines are those that some request needs, not always all."""

    number: str
    customer: str
    ordered_at: datetime
    total_minor: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back before the desk began; `fits` is whether its order's payment had that much left."""

    reference: str
    customer: str
    order: str | None
    refunded_at: datetime
    amount_minor: int
    lines: tuple[Line, ...]
    fits: bool

    @property
    def gateway_id(self) -> str:
        """The gateway's refund of it."""
        return f"re_{self.reference}"


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """A refund that the shop will ask for."""

    reference: str
    customer: str | None
    order: str | None
    requested_at: datetime
    amount_minor: int
    reason: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """All records of the demonstration, each table in the order of the source."""

    customers: tuple[Customer, ...]
    orders: tuple[Order, ...]
    past_refunds: tuple[Refund, ...]
    requests: tuple[RefundRequest, ...]

    @classmethod
    def read(cls, weeks: int) -> "Excerpt":
        """Read the excerpt with every moment moved by so many weeks."""
        orders = tuple(_orders(weeks))
        return cls(tuple(_customers(weeks)), orders, tuple(_past_refunds(weeks, orders)), tuple(_requests(weeks)))

    def refunded_before(self) -> dict[str, list[Refund]]:
        """The past refunds that went back over the payment of an order, by order number."""
        by_order: dict[str, list[Refund]] = defaultdict(list)
        for refund in self.past_refunds:
            if refund.order and refund.fits:
                by_order[refund.order].append(refund)
        return by_order


def payment_of(order: str) -> str:
    """The gateway's payment intent of an order."""
    return f"pi_{order}"


def weeks_until(today: date) -> int:
    """By how many weeks to move the excerpt so that its last request falls into the week before `today`."""
    return ((today - timedelta(days=1)) - LAST_DAY).days // 7


def first_order() -> tuple[str, date]:
    """Number and source date of the earliest order: by it the shift of loaded records can be told."""
    row = next(_rows("orders"))
    return row["number"], datetime.fromisoformat(row["ordered_at"]).date()


def _customers(weeks: int) -> Iterator[Customer]:
    for row in _rows("customers"):
        first = row["first_purchase_at"]
        yield Customer(row["reference"], row["country"], _moment(first, weeks) if first else None)


def _orders(weeks: int) -> Iterator[Order]:
    lines = _lines("order_lines", "order")
    for row in _rows("orders"):
        number = row["number"]
        total, moment = int(row["total_minor"]), _moment(row["ordered_at"], weeks)
        yield Order(number, row["customer"], moment, total, tuple(lines[number]))


def _past_refunds(weeks: int, orders: tuple[Order, ...]) -> Iterator[Refund]:
    lines = _lines("past_refund_lines", "reference")
    left = {order.number: order.total_minor for order in orders}
    for row in _rows("past_refunds"):
        order, amount = row["order"], int(row["amount_minor"])
        fits = left.get(order, 0) >= amount
        if fits:
            left[order] -= amount
        reference, moment = row["reference"], _moment(row["refunded_at"], weeks)
        own = tuple(lines[reference])
        yield Refund(reference, row["customer"], order or None, moment, amount, own, fits)


def _requests(weeks: int) -> Iterator[RefundRequest]:
    lines = _lines("request_lines", "reference")
    for row in _rows("requests"):
        yield RefundRequest(
            reference=row["reference"],
            customer=row["customer"] or None,
            order=row["order"] or None,
            requested_at=_moment(row["requested_at"], weeks),
            amount_minor=int(row["amount_minor"]),
            reason=row["reason"],
            lines=tuple(lines[row["reference"]]),
        )


def _lines(table: str, owner: str) -> dict[str, list[Line]]:
    by_owner: dict[str, list[Line]] = defaultdict(list)
    for row in _rows(table):
        line = Line(row["sku"], row.get("description", ""), int(row["quantity"]), int(row["unit_price_minor"]))
        by_owner[row[owner]].append(line)
    return by_owner


def _moment(text: str, weeks: int) -> datetime:
    """The same weekday and wall clock in the shop's zone, so many weeks later."""
    return (datetime.fromisoformat(text) + timedelta(weeks=weeks)).replace(tzinfo=ZONE)


def _rows(table: str) -> Iterator[dict[str, Any]]:
    text = gzip.decompress((DATA / f"{table}.csv.gz").read_bytes()).decode()
    yield from csv.DictReader(io.StringIO(text))
