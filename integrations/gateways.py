"""What the desk needs of a payment gateway. Connectors implement it; nothing above knows which one answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

from integrations.errors import CallFailed
from integrations.models import Call, Connection
from integrations.operations import build, connector_names
from opsdesk.lib.money import Money
from workflows.states import FailureKind


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
    cancelable: bool = False  # it has not left, and the gateway lets it be called off


@runtime_checkable
class PaymentGateway(Protocol):
    """Knows payments and what went back of them. Every method raises CallFailed."""

    calls: list[Call]

    def payment(self, reference: str) -> PaymentSeen: ...
    def refunds_of(self, payment: str) -> Sequence[Receipt]: ...


@runtime_checkable
class RefundLister(Protocol):
    """Tells everything that went back in a stretch of time, so that it can be reconciled. Raises CallFailed."""

    calls: list[Call]

    def refunds_since(self, moment: datetime) -> Iterator[Receipt]: ...
    def refund_as_it_is(self, reference: str) -> Receipt | None: ...


def gateway_of(connection: Connection) -> PaymentGateway:
    """The connector of a connection as one that knows payments, fresh, with an empty list of calls.

    Raises KeyError for an unknown protocol, CallFailed for one that knows nothing of payments.
    """
    connector = build(connection)
    if not isinstance(connector, PaymentGateway):
        message = f"{connection.name} knows no payments: name the connection of a payment gateway."
        raise CallFailed(FailureKind.DATA, message, effect_possible=False)
    return connector


def knows_payments(connection: Connection) -> bool:
    """Whether a connection can be asked about payments."""
    return connection.connector in connector_names() and isinstance(build(connection), PaymentGateway)


def lister_of(connection: Connection) -> RefundLister | None:
    """The connector of a connection that can be reconciled, fresh; None where there is nothing to compare."""
    if connection.connector not in connector_names():
        return None
    connector = build(connection)
    return connector if isinstance(connector, RefundLister) else None
