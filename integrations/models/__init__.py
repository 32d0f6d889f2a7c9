"""The rows of the outside: connections with what limits them, endpoints, calls, mirrors, actions and notices."""

from integrations.models.actions import Action
from integrations.models.breakers import Breaker
from integrations.models.chat import ChatChannel, How, NoticePolicy, NoticeSettings
from integrations.models.connections import Call, Connection, Endpoint
from integrations.models.limits import MaintenanceWindow, OperationSwitch, Permit, Throttle
from integrations.models.mirrors import Customer, Order, OrderLine, Payment, Refund
from integrations.models.notices import Notice
from integrations.models.reconciliation import Break, Reconciliation
from integrations.models.reversals import Reversal

__all__ = [
    "Action",
    "Break",
    "Breaker",
    "Call",
    "ChatChannel",
    "Connection",
    "Customer",
    "Endpoint",
    "How",
    "MaintenanceWindow",
    "Notice",
    "NoticePolicy",
    "NoticeSettings",
    "OperationSwitch",
    "Order",
    "OrderLine",
    "Payment",
    "Permit",
    "Reconciliation",
    "Refund",
    "Reversal",
    "Throttle",
]
