"""The shipped rules, held against every request of the demonstration records."""

from collections import Counter, defaultdict

import pytest

from integrations.facts import Evidence, facts_of
from integrations.gateways import PaymentSeen
from integrations.models import Customer, Order
from opsdesk.demo import cast
from opsdesk.demo.records import Excerpt, payment_of
from opsdesk.lib.money import Money
from tests.definitions import PACK
from workflows import pack_text, rules
from workflows.models import Case, Rule
from workflows.states import Tier

RULES = [Rule(position=place, **row) for place, row in enumerate(pack_text.read(PACK)["rules"], start=1)]


def evidence_of(request, excerpt, bought, returned, refunds):
    """What the desk would have found about a request of the records."""
    order = next((order for order in excerpt.orders if order.number == request.order), None)
    customer = next((row for row in excerpt.customers if row.reference == request.customer), None)
    case = Case(
        pk=1,
        amount_minor=request.amount_minor,
        currency=cast.CURRENCY,
        target=payment_of(request.order) if request.order else "",
        party=request.customer or "",
        reason=request.reason,
        requested_at=request.requested_at,
        data={
            "order": request.order,
            "lines": [{"sku": line.sku, "quantity": line.quantity} for line in request.lines],
        },
    )
    found = Evidence(case, request.requested_at)
    if order is not None:
        total = Money(order.total_minor, cast.CURRENCY)
        found.order = Order(
            number=order.number,
            customer=order.customer,
            placed_at=order.ordered_at,
            total_minor=order.total_minor,
            currency=cast.CURRENCY,
            payment=case.target,
            read_at=request.requested_at,
        )
        nothing = Money(0, cast.CURRENCY)
        found.seen = PaymentSeen(
            case.target, total, nothing, "succeeded", order.number, order.customer, order.ordered_at
        )
    if customer is not None:
        found.customer = Customer(
            reference=customer.reference, since=customer.first_purchase_at, read_at=request.requested_at
        )
    for moment, line in bought[request.customer]:
        if moment <= request.requested_at:
            found.bought[line.sku] += line.quantity
    found.returned = returned[request.customer].copy()
    found.refunds = refunds[request.customer]
    return found


@pytest.fixture(scope="module")
def demands():
    """For every request of the records: the request, and what each rule said."""
    excerpt = Excerpt.read(0)
    bought, refunds, returned = defaultdict(list), defaultdict(list), defaultdict(Counter)
    for order in excerpt.orders:
        bought[order.customer] += [(order.ordered_at, line) for line in order.lines]
    for past in excerpt.past_refunds:
        refunds[past.customer].append((past.refunded_at, past.amount_minor, cast.CURRENCY))
    said = []
    for request in excerpt.requests:
        facts = facts_of(evidence_of(request, excerpt, bought, returned, refunds))
        said.append((request, [rules.evaluate(rule, facts) for rule in RULES]))
        for line in request.lines:
            returned[request.customer][line.sku] += line.quantity
    return said


def test_every_rule_can_be_evaluated_and_says_itself_in_words():
    for rule in RULES:
        assert rules.check(rule.conditions) == [], rule.name
        assert rules.words(rule).endswith((": at least full review", ": at least fast-track"))


def test_every_rule_but_the_repeat_meets_somebody(demands):
    hits = {demand.words for _, said in demands for demand in said if demand.result == "hit"}

    # Whether another case is open depends on the moment, which the records do not have.
    assert {rule.name for rule in RULES} - hits == {"Repeat of an open case"}


def test_an_ordinary_request_leaves_nothing_undetermined(demands):
    ordinary = [said for request, said in demands if request.order and request.customer]

    unsure = [demand.words for said in ordinary for demand in said if demand.result == "undetermined"]

    assert len(ordinary) > 700
    assert unsure == []


def test_the_tiers_share_the_requests_so_that_each_is_seen_at_work(demands):
    bands = sorted(cast.TIERS, key=lambda band: band.above_minor)
    found = Counter()
    for request, said in demands:
        asked = next(Tier(band.tier) for band in reversed(bands) if request.amount_minor > band.above_minor)
        found[Tier.strictest([asked, *(demand.tier for demand in said if demand.tier)])] += 1

    shares = {tier: found[tier] / len(demands) for tier in Tier}
    assert 0.40 < shares[Tier.INSTANT] < 0.60
    assert 0.12 < shares[Tier.FAST_TRACK] < 0.30
    assert 0.20 < shares[Tier.FULL_REVIEW] < 0.40
