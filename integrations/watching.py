"""What triggers can watch of the outside: the copies of payments, orders and customers, and what was sent."""

from typing import Any

from django.db.models import Q

from integrations.models import Action, Customer, Order, Payment
from integrations.states import ActionState
from workflows.registry import Standing, Watched, WatchedField, add_watched
from workflows.watching import TELLS_OF_CASE, tell_case


def _tell_payment(payment: Payment) -> dict[str, Any]:
    return {
        "payment": payment.reference,
        "order": payment.order or None,
        "customer": payment.customer or None,
        "captured": f"{payment.captured.decimal}",
        "refunded": f"{payment.refunded.decimal}",
        "left": f"{payment.left.decimal}",
        "currency": payment.currency,
    }


def _tell_order(order: Order) -> dict[str, Any]:
    return {
        "order": order.number,
        "customer": order.customer or None,
        "payment": order.payment or None,
        "total": f"{order.total.decimal}",
        "currency": order.currency,
    }


def _tell_customer(customer: Customer) -> dict[str, Any]:
    return {"customer": customer.reference, "name": customer.name or None, "country": customer.country or None}


def _tell_action(action: Action) -> dict[str, Any]:
    return {
        "action": action.pk,
        "operation": action.operation,
        "message": action.message,
        "refund": action.external_reference or None,
        **tell_case(action.case),
    }


def register() -> None:
    """Let triggers watch these."""
    add_watched(
        Watched(
            name="payment",
            label="a payment",
            rows=lambda organization_id: Payment.objects.filter(organization_id=organization_id),
            tell=_tell_payment,
            tells=("payment", "order", "customer", "captured", "refunded", "left", "currency"),
            fields={
                "captured": WatchedField("captured_minor", "money", "what was captured"),
                "refunded": WatchedField("refunded_minor", "money", "what went back"),
                "reserved": WatchedField("reserved_minor", "money", "what is held for refunds under way"),
                "overbooked": WatchedField("overbooked", "flag", "more held and refunded than captured"),
            },
        )
    )
    add_watched(
        Watched(
            name="order",
            label="an order",
            rows=lambda organization_id: Order.objects.filter(organization_id=organization_id),
            tell=_tell_order,
            tells=("order", "customer", "payment", "total", "currency"),
            fields={
                "total": WatchedField("total_minor", "money", "the total"),
                "payment": WatchedField("payment", "text", "the payment"),
            },
        )
    )
    add_watched(
        Watched(
            name="customer",
            label="a customer",
            rows=lambda organization_id: Customer.objects.filter(organization_id=organization_id),
            tell=_tell_customer,
            tells=("customer", "name", "country"),
            fields={"country": WatchedField("country", "text", "the country")},
        )
    )
    in_doubt = [ActionState.SENDING, ActionState.UNKNOWN]
    add_watched(
        Watched(
            name="action",
            label="an action",
            rows=lambda organization_id: Action.objects.filter(organization_id=organization_id).select_related("case"),
            tell=_tell_action,
            tells=("action", "operation", "message", "refund", *TELLS_OF_CASE),
            standings={
                "unverified": Standing("accepted and not verified", Q(state=ActionState.SUCCEEDED), "succeeded_at"),
                "in_doubt": Standing("sent without a certain answer", Q(state__in=in_doubt), "first_sent_at"),
                "mismatched": Standing("different at the gateway", Q(state=ActionState.MISMATCHED), "succeeded_at"),
            },
        )
    )
