"""The rows of the outside: connections, endpoints, calls, mirrors of records, actions and notices."""

from integrations.models.actions import Action
from integrations.models.connections import Call, Connection, Endpoint
from integrations.models.mirrors import Customer, Order, OrderLine, Payment, Refund
from integrations.models.notices import Notice
from integrations.models.reconciliation import Break, Reconciliation

__all__ = [
    "Action",
    "Break",
    "Call",
    "Connection",
    "Customer",
    "Endpoint",
    "Notice",
    "Order",
    "OrderLine",
    "Payment",
    "Reconciliation",
    "Refund",
]
