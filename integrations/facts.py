"""The facts of a refund request, declared for rules and computed from the payment, the orders and the customer."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from integrations.gateways import PaymentSeen
from integrations.lines import lines_of
from integrations.models import Customer, Order, Payment
from workflows.facts import FactType, declare, known, missing
from workflows.models import Case

declare(
    FactType("amount", "money", "minor units", "request", "How much is asked for.", "Amount"),
    FactType("currency", "text", "ISO 4217", "request", "The currency it is asked in.", "Currency"),
    FactType("order.share", "ratio", "share", "shop", "Amount as a share of the order's total.", "Share of the order"),
    FactType("order.days_since", "days", "days", "shop", "Days between order and request.", "Days since the order"),
    FactType("order.on_file", "flag", "", "shop", "Whether the shop knows the order that is named.", "Order on file"),
    FactType("customer.known", "flag", "", "shop", "Whether the shop knows the customer.", "Customer known"),
    FactType("customer.age_days", "days", "days", "shop", "Days since the customer's first order.", "Customer for"),
    FactType(
        "customer.bought_before", "flag", "", "shop", "Whether all that comes back was bought before.", "Bought before"
    ),
    FactType(
        "customer.returned_more", "flag", "", "shop", "Whether more units come back than were bought.",
        "Returns more than bought",
    ),
    FactType(
        "customer.refunds_30d", "count", "refunds", "gateway", "Refunds since 30 days before the request.",
        "Refunds in 30 days",
    ),
    FactType(
        "customer.refunds_90d", "count", "refunds", "gateway", "Refunds since 90 days before the request.",
        "Refunds in 90 days",
    ),
    FactType(
        "customer.refunded_90d", "money", "minor units", "gateway", "Money refunded since 90 days before the request.",
        "Refunded in 90 days",
    ),
    FactType(
        "request.special_code", "flag", "", "request", "Whether a line is no article, such as postage or a discount.",
        "Special code",
    ),
    FactType(
        "request.repeat", "flag", "", "desk", "Whether another case for the same order or payment is open.",
        "Repeat of an open case",
    ),
    FactType("request.reason", "text", "", "request", "The reason the requester gave.", "Reason given"),
    FactType("payment.captured", "money", "minor units", "gateway", "What was paid.", "Captured"),
    FactType("payment.refunded", "money", "minor units", "gateway", "What has gone back before.", "Refunded before"),
    FactType("payment.left", "money", "minor units", "gateway", "What could still go back.", "Left to refund"),
    FactType("payment.status", "text", "", "gateway", "The payment's status at the gateway.", "Payment status"),
    FactType(
        "sources.agree", "flag", "", "desk", "Whether shop, gateway and request say the same.", "Sources agree"
    ),
)  # fmt: skip

_UNREAD = "The request has no lines, or one that cannot be read."


@dataclass(slots=True)
class Evidence:
    """Everything that was found about one case; what is None was not there, and `why` says so."""

    case: Case
    at: datetime
    seen: PaymentSeen | None = None
    seen_why: str = ""
    mirror: Payment | None = None
    order: Order | None = None
    customer: Customer | None = None
    bought: Counter[str] = field(default_factory=Counter)  # sku → units, before the request
    returned: Counter[str] = field(default_factory=Counter)  # sku → units asked back in other cases
    refunds: list[tuple[datetime, int, str]] = field(default_factory=list)  # moment, minor units, currency
    repeats: int = 0


def facts_of(evidence: Evidence) -> dict[str, Any]:
    """Every declared fact about a case, known or missing with its reason."""
    return {
        **_request_facts(evidence),
        **_payment_facts(evidence),
        **_order_facts(evidence),
        **_customer_facts(evidence),
    }


def _request_facts(evidence: Evidence) -> dict[str, Any]:
    case, at, lines = evidence.case, evidence.at, lines_of(evidence.case.data)
    return {
        "amount": known(case.amount_minor, "request", at)
        if case.amount_minor is not None
        else missing("The request has no sound amount.", "request", at),
        "currency": known(case.currency, "request", at),
        "request.special_code": known(lines.special, "request", at)
        if lines.whole or lines.special
        else missing(_UNREAD, "request", at),
        "request.reason": known(case.reason, "request", at)
        if case.reason
        else missing("No reason was given.", "request", at),
        "request.repeat": known(evidence.repeats > 0, "desk", at),
    }


def _payment_facts(evidence: Evidence) -> dict[str, Any]:
    seen, at = evidence.seen, evidence.at
    if seen is None:
        why = evidence.seen_why or "The request names no payment."
        names = ("payment.captured", "payment.refunded", "payment.left", "payment.status")
        return {name: missing(why, "gateway", at) for name in names} | {"sources.agree": known(False, "desk", at)}
    left = max(seen.captured.minor - seen.refunded.minor, 0)
    return {
        "payment.captured": known(seen.captured.minor, "gateway", at),
        "payment.refunded": known(seen.refunded.minor, "gateway", at),
        "payment.left": known(left, "gateway", at),
        "payment.status": known(seen.status, "gateway", at),
        "sources.agree": known(not disagreements(evidence), "desk", at),
    }


def disagreements(evidence: Evidence) -> list[str]:
    """Where shop, gateway and request differ, in sentences; the gateway is trusted on money, the shop on orders."""
    seen, order, case, found = evidence.seen, evidence.order, evidence.case, []
    if seen and case.currency and seen.captured.currency != case.currency:
        found.append(f"The request is in {case.currency}, the payment in {seen.captured.currency}.")
    if seen and order and seen.captured.currency == order.currency and seen.captured.minor != order.total_minor:
        found.append(f"The gateway captured {seen.captured}, the shop's order is over {order.total}.")
    if order and case.party and order.customer and order.customer != case.party:
        found.append(f"Order {order.number} belongs to customer {order.customer}, not to {case.party}.")
    if seen and order and order.payment and order.payment != seen.reference:
        found.append(f"Order {order.number} was paid by {order.payment}, not by {seen.reference}.")
    return found


def _order_facts(evidence: Evidence) -> dict[str, Any]:
    order, case, at = evidence.order, evidence.case, evidence.at
    if order is None:
        named = case.data.get("order")
        why = f"The shop knows no order {str(named)[:30]}." if named else "The request names no order."
        return {
            "order.on_file": known(False, "shop", at),
            "order.share": missing(why, "shop", at),
            "order.days_since": missing(why, "shop", at),
        }
    facts = {"order.on_file": known(True, "shop", order.read_at)}
    if case.amount_minor is not None and order.total_minor > 0 and order.currency == case.currency:
        share = (Decimal(case.amount_minor) / Decimal(order.total_minor)).quantize(Decimal("0.0001"))
        facts["order.share"] = known(str(share), "shop", order.read_at)
    else:
        facts["order.share"] = missing("Amount and order cannot be compared.", "shop", at)
    moment = case.requested_at or at
    facts["order.days_since"] = known(max((moment - order.placed_at).days, 0), "shop", order.read_at)
    return facts


def _customer_facts(evidence: Evidence) -> dict[str, Any]:
    case, at, customer = evidence.case, evidence.at, evidence.customer
    if customer is None:
        why = f"The shop knows no customer {case.party}." if case.party else "The request names no customer."
        names = ("age_days", "bought_before", "returned_more", "refunds_30d", "refunds_90d", "refunded_90d")
        return {"customer.known": known(False, "shop", at)} | {
            f"customer.{name}": missing(why, "shop", at) for name in names
        }
    moment = case.requested_at or at
    facts = {
        "customer.known": known(True, "shop", customer.read_at),
        **_article_facts(evidence, customer),
        "customer.age_days": known(max((moment - customer.since).days, 0), "shop", customer.read_at)
        if customer.since
        else missing("The shop does not say since when.", "shop", at),
    }
    # What went back since counts too: requests come in any order.
    for days in (30, 90):
        count = sum(1 for when, _, _ in evidence.refunds if when >= moment - timedelta(days=days))
        facts[f"customer.refunds_{days}d"] = known(count, "gateway", at)
    total = sum(
        minor
        for when, minor, currency in evidence.refunds
        if currency == case.currency and when >= moment - timedelta(days=90)
    )
    facts["customer.refunded_90d"] = known(total, "gateway", at)
    return facts


def _article_facts(evidence: Evidence, customer: Customer) -> dict[str, Any]:
    lines = lines_of(evidence.case.data)
    if not lines.whole:
        names = ("customer.bought_before", "customer.returned_more")
        return {name: missing(_UNREAD, "request", evidence.at) for name in names}
    bought, returned = evidence.bought, evidence.returned
    before = all(bought[sku] > 0 for sku in lines.articles)
    more = any(units + returned[sku] > bought[sku] for sku, units in lines.articles.items())
    return {
        "customer.bought_before": known(before, "shop", customer.read_at),
        "customer.returned_more": known(more, "shop", customer.read_at),
    }
