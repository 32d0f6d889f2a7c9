"""What the desk needs of a payment gateway. Connectors implement it; nothing above knows which one answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Protocol, runtime_checkable
from uuid import UUID

from integrations.models import Call, Connection
from opsdesk.lib.money import Money


@dataclass(frozen=True, slots=True)
class PaymentSeen:
    """A payment as the gateway has it now."""

    reference: str
    captured: Money
    refunded: Money
    status: str
    order: str
    customer: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """A refund as the gateway has it now. Status: pending, succeeded, failed.

    `key` is ours when the refund is ours, and `case` what we called its case when it was made.
    """

    reference: str
    payment: str
    amount: Money
    status: str
    created_at: datetime
    key: UUID | None = None
    case: str = ""


class RefundGateway(Protocol):
    """Gives a customer's money back; safe to call again with the same key within `key_life`.

    Every method raises CallFailed. `calls` collects the unsaved log rows of everything that was sent.
    """

    key_life: ClassVar[timedelta]
    calls: list[Call]

    def payment(self, reference: str) -> PaymentSeen: ...
    def refund(self, *, payment: str, amount: Money, key: UUID, case: str) -> Receipt: ...
    def find_refund(self, *, payment: str, key: UUID) -> Receipt | None: ...
    def retrieve_refund(self, reference: str) -> Receipt: ...
    def refunds_of(self, payment: str) -> Sequence[Receipt]: ...


@runtime_checkable
class RefundLister(Protocol):
    """Tells everything that went back in a stretch of time, so that it can be reconciled. Raises CallFailed."""

    calls: list[Call]

    def refunds_since(self, moment: datetime) -> Iterator[Receipt]: ...
    def refund_as_it_is(self, reference: str) -> Receipt | None: ...


_connectors: dict[str, Callable[[Connection], RefundGateway]] = {}


def add_connector(name: str, build: Callable[[Connection], RefundGateway]) -> None:
    """Register the connector that speaks the protocol `name`."""
    _connectors[name] = build


def gateway_of(connection: Connection) -> RefundGateway:
    """The connector of a connection, fresh, with an empty list of calls; raises KeyError for an unknown protocol."""
    return _connectors[connection.connector](connection)


def connector_names() -> list[str]:
    """Names of all registered protocols."""
    return sorted(_connectors)


def lister_of(connection: Connection) -> RefundLister | None:
    """The connector of a connection that can be reconciled, fresh; None where there is nothing to compare."""
    if connection.connector not in connector_names():
        return None
    gateway = gateway_of(connection)
    return gateway if isinstance(gateway, RefundLister) else None
