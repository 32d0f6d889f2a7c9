"""What is found out about a case: facts with their source, and what is not known said as such."""

from datetime import timedelta

import pytest

from integrations import facts as _declared  # noqa: F401 - declares the catalogue
from integrations.models import Connection, Customer, Order, OrderLine, Payment, Refund
from opsdesk.lib import clock
from tests.plugins.line import CUSTOMER, SKU, Line, due_now, make_line
from workflows.engine.running import advance, claim
from workflows.facts import catalogue, value_of, well_typed
from workflows.models import Case, Decision, Failure, Run
from workflows.states import CaseState, RunState, Tier, WaitsFor
from workflows.tasks import tick


def gathered(line: Line, amount: str = "19.80", **changes) -> dict:
    """The facts of one request."""
    case = line.ask(amount, **changes)
    tick()
    facts: dict = Run.objects.get(case=case).facts
    return facts


def values(facts: dict, *names: str) -> list:
    return [value_of(facts, name) for name in names]


def a_line(sku: object = SKU, quantity: object = 1) -> dict:
    return {"sku": sku, "description": "x", "quantity": quantity, "unit_price": "1.65"}


def why(facts: dict, name: str) -> str:
    assert facts[name]["value"] is None
    said: str = facts[name]["why"]
    return said


def test_every_declared_fact_is_there_well_typed_with_source_and_time(line: Line):
    facts = gathered(line)

    # Those of a reversal are gathered by a step of its own.
    assert set(facts) == {name for name in catalogue() if not name.startswith(("reversal.", "original."))}
    assert len(facts) >= 14
    for name, fact in facts.items():
        assert well_typed(catalogue()[name], fact["value"]), name
        assert fact["source"] in {"request", "gateway", "shop", "desk"}
        assert fact["at"]


def test_the_facts_of_a_plain_request(line: Line):
    facts = gathered(line, "19.80")

    assert values(facts, "amount", "currency", "order.share", "order.days_since") == [1980, "GBP", "0.0396", 10]
    assert values(facts, "payment.captured", "payment.refunded", "payment.left") == [50000, 0, 50000]
    assert values(facts, "order.on_file", "customer.known", "sources.agree") == [True, True, True]
    assert values(facts, "customer.bought_before", "customer.returned_more") == [True, False]
    assert values(facts, "request.special_code", "request.repeat", "request.reason") == [False, False, "returned"]
    assert values(facts, "customer.refunds_30d", "customer.refunds_90d", "customer.refunded_90d") == [0, 0, 0]
    assert values(facts, "customer.age_days") == [400]


def test_one_call_of_the_gateway_a_case(line: Line):
    for _ in range(5):
        line.ask("19.80")

    tick()

    paths = [row["path"] for row in line.gateway.requests()]
    assert len(paths) == len(set(paths)) == 5


def test_what_went_back_past_the_desk_is_known_before_anything_is_reserved(line: Line):
    order = line.paid(amount="100.00")
    line.gateway.refund_in_the_dashboard(f"pi_{order}", 9000)

    facts = gathered(line, "19.80", order=order)

    assert values(facts, "payment.refunded", "payment.left") == [9000, 1000]
    payment = Payment.objects.get()
    assert (payment.refunded_minor, payment.refunds.count()) == (9000, 1)
    assert line.refunds(Case.objects.get()) == []


# --- not known is not “no” -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        [],
        None,
        5,
        "22556",
        {"sku": SKU},
        ["22556"],
        [{}],
        [{"sku": SKU}],
        [a_line(quantity="1")],
        [a_line(quantity=True)],
        [a_line(quantity=0)],
        [a_line(), a_line(quantity=-1)],
        [a_line(sku=None)],
        [a_line(sku="")],
        [a_line(sku=["22556"])],
        [a_line(sku="x" * 60)],
        [a_line(), "junk"],
    ],
    ids=str,
)
def test_lines_that_cannot_be_read_leave_their_facts_unknown_and_go_to_people(line: Line, lines):
    facts = gathered(line, lines=lines) if lines is not None else gathered(line, lines=None)

    for name in ("customer.bought_before", "customer.returned_more", "request.special_code"):
        assert "line" in why(facts, name)
    assert Decision.objects.get().tier == Tier.FULL_REVIEW


def test_a_special_code_among_lines_nobody_can_read_is_still_one(line: Line):
    facts = gathered(line, lines=[a_line(quantity="x"), a_line(sku=" post ")])

    assert value_of(facts, "request.special_code") is True


def test_odd_lines_of_one_case_spoil_no_other_case_of_the_customer(line: Line):
    odd = line.ask("10.00", lines=5)
    tick()
    sound = line.ask("19.80")

    tick()

    assert Run.objects.get(case=odd).waits_for == WaitsFor.REVIEW
    assert not Failure.objects.exists()
    assert value_of(Run.objects.get(case=sound).facts, "customer.returned_more") is False


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({"order": "999999", "payment": None}, {"order.share", "order.days_since"}),
        ({"customer": "99999"}, {"customer.age_days", "customer.bought_before", "customer.refunds_90d"}),
        ({"payment": None}, {"payment.captured", "payment.refunded", "payment.left", "payment.status"}),
        ({"payment": "pi_nobody"}, {"payment.captured", "payment.left"}),
        ({"reason": None}, {"request.reason"}),
    ],
    ids=["no such order", "no such customer", "no payment", "no such payment", "no reason"],
)
def test_what_nobody_has_is_missing_with_the_reason(line: Line, changes: dict, unknown: set[str]):
    order = line.paid()
    said = line.request(order, "19.80")
    said = {name: value for name, value in {**said, **changes}.items() if value is not None}
    line.hear("refund.requested", said)

    tick()

    facts = Run.objects.get().facts
    assert all(why(facts, name) for name in unknown)
    if changes != {"reason": None}:
        assert Decision.objects.get().tier == Tier.FULL_REVIEW
    line.assert_sound()


@pytest.mark.parametrize("currency", ["EUR", "JPY"])
def test_a_request_in_another_currency_than_the_payment_goes_to_people(line: Line, currency: str):
    facts = gathered(line, "19", currency=currency)

    assert value_of(facts, "sources.agree") is False
    assert Decision.objects.get().tier == Tier.FULL_REVIEW


def test_records_that_differ_are_pointed_out(line: Line):
    order = line.paid()
    Order.objects.update(total_minor=49999, customer="11111", payment="pi_other")

    facts = gathered(line, order=order)

    assert value_of(facts, "sources.agree") is False


@pytest.mark.parametrize("code", ["POST", "post", " D ", "M"])
def test_codes_that_are_no_articles_go_to_people(line: Line, code: str):
    facts = gathered(line, lines=[a_line(sku=code)])

    assert value_of(facts, "request.special_code") is True
    assert Decision.objects.get().tier == Tier.FULL_REVIEW


# --- habits ----------------------------------------------------------------------------------------------------------


def test_more_than_was_bought_is_noticed_over_several_lines(line: Line):
    facts = gathered(line, lines=[a_line(quantity=200), a_line(quantity=101)])

    assert values(facts, "customer.bought_before", "customer.returned_more") == [True, True]


def moment(days_ago: float) -> str:
    return f"{clock.now() - timedelta(days=days_ago):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("first", "second"),
    [(3, 2), (2, 3), (2, 2)],
    ids=["in their order", "the later request came first", "at the same second"],
)
def test_what_came_back_before_counts_in_whatever_order_requests_come(line: Line, first: float, second: float):
    order = line.paid()
    line.ask("9.00", order=order, lines=[a_line(quantity=200)], requested_at=moment(first))
    line.work()
    assert Case.objects.get().state == CaseState.DONE

    facts = gathered(line, "9.00", order=order, lines=[a_line(quantity=101)], requested_at=moment(second))

    assert value_of(facts, "customer.returned_more") is True


@pytest.mark.parametrize("known_when", [True, False], ids=["with", "without"])
def test_what_came_back_before_counts_with_and_without_a_moment(line: Line, known_when: bool):
    order = line.paid()
    when = {} if known_when else {"requested_at": None}
    line.ask("9.00", order=order, lines=[a_line(quantity=200)], **when)
    line.work()

    facts = gathered(line, "9.00", order=order, lines=[a_line(quantity=101)], **when)

    assert value_of(facts, "customer.returned_more") is True


def test_of_two_open_requests_for_the_same_units_at_least_one_goes_to_people(line: Line):
    orders = [line.paid(), line.paid()]
    OrderLine.objects.filter(order__number=orders[1]).delete()
    cases = [line.ask("9.00", order=order, lines=[a_line(quantity=200)]) for order in orders]

    tick()

    more = [value_of(Run.objects.get(case=case).facts, "customer.returned_more") for case in cases]
    assert True in more


def test_rejected_requests_brought_nothing_back(line: Line):
    order = line.paid()
    before = line.ask("9.00", order=order, lines=[a_line(quantity=200)])
    Run.objects.filter(case=before).delete()
    before.move_to(CaseState.REJECTED, closed_at=clock.now())

    facts = gathered(line, "9.00", order=order, lines=[a_line(quantity=200)])

    assert values(facts, "customer.returned_more", "request.repeat") == [False, False]


@pytest.mark.parametrize(("first", "second"), [(3, 2), (2, 3)], ids=["in their order", "the later request came first"])
def test_refunds_of_the_last_days_are_counted_in_whatever_order_requests_come(line: Line, first: float, second: float):
    line.ask("9.00", requested_at=moment(first))
    line.work()

    facts = gathered(line, "11.00", requested_at=moment(second))

    assert values(facts, "customer.refunds_30d", "customer.refunds_90d", "customer.refunded_90d") == [1, 1, 900]


def test_only_the_customers_own_refunds_of_the_days_asked_for_count(line: Line):
    connection = line.connection
    other = Payment.objects.create(
        organization=line.organization, connection=connection, reference="pi_old", currency="GBP",
        captured_minor=10_000, customer=CUSTOMER,
    )  # fmt: skip
    for number, (days, status, customer) in enumerate(
        [(5, "succeeded", CUSTOMER), (40, "succeeded", CUSTOMER), (100, "succeeded", CUSTOMER),
         (6, "failed", CUSTOMER), (7, "succeeded", "someone")]
    ):  # fmt: skip
        Refund.objects.create(
            organization=line.organization, payment=other, reference=f"re_{number}", customer=customer,
            amount_minor=100, currency="GBP", status=status, created_at=clock.now() - timedelta(days=days),
        )  # fmt: skip

    facts = gathered(line)

    assert values(facts, "customer.refunds_30d", "customer.refunds_90d", "customer.refunded_90d") == [1, 2, 200]


def test_another_open_case_for_the_payment_is_a_repeat_on_both_sides(line: Line):
    order = line.paid()
    cases = [line.ask("9.00", order=order), line.ask("8.00", order=order)]

    tick()

    assert [value_of(Run.objects.get(case=case).facts, "request.repeat") for case in cases] == [True, True]


def test_organizations_see_nothing_of_each_other(line: Line, gateway, settings):
    order = line.paid()
    line.ask("9.00", order=order, lines=[a_line(quantity=200)])
    other = make_line(gateway, settings, slug="other")
    Customer.objects.create(organization=other.organization, reference=CUSTOMER, since=clock.now())
    said = other.request(order, "9.00", lines=[a_line(quantity=200)])
    other.hear("refund.requested", said)

    tick()

    facts = Run.objects.get(organization=other.organization).facts
    assert values(facts, "request.repeat", "order.on_file", "customer.bought_before") == [False, False, False]
    assert value_of(facts, "customer.refunds_90d") == 0


# --- the gateway stumbles --------------------------------------------------------------------------------------------


def test_a_gateway_that_is_down_is_waited_for(line: Line):
    line.gateway.fault("503", method="GET", path="/v1/payment_intents", times=5)
    line.ask("19.80")

    for _ in range(5):
        advance(claim())
        due_now(Run.objects.all())
    run = Run.objects.get()
    assert (run.state, run.waits_for) == (RunState.WAITING, WaitsFor.CONNECTION)
    line.work()

    assert Case.objects.get().state == CaseState.DONE


def test_a_gateway_that_stumbles_is_asked_three_times(line: Line):
    line.gateway.fault("500_before", method="GET", path="/v1/payment_intents", times=3)
    line.ask("19.80")

    for _ in range(3):
        advance(claim())
        due_now(Run.objects.filter(state=RunState.WAITING))

    assert Run.objects.get().state == RunState.FAILED
    assert Failure.objects.get().connection == "gateway"


@pytest.mark.parametrize("told", ["429=40", "429=date:40"])
def test_a_gateway_that_puts_us_off_is_not_asked_earlier(line: Line, told: str):
    line.gateway.fault(told, method="GET", path="/v1/payment_intents")
    line.ask("19.80")

    advance(claim())

    run = Run.objects.get()
    assert timedelta(seconds=35) < run.wake_at - clock.now() <= timedelta(seconds=102)


def test_one_stumble_holds_up_one_case(line: Line):
    line.gateway.fault("500_before", method="GET", path="/v1/payment_intents")
    for _ in range(4):
        line.ask("19.80")

    advance(claim())

    states = sorted(Run.objects.values_list("waits_for", flat=True))
    assert states == [WaitsFor.ACTION] * 3 + [WaitsFor.RETRY]


def test_a_connection_that_is_switched_off_is_not_asked_and_people_decide(line: Line):
    Connection.objects.filter(pk=line.connection.pk).update(enabled=False)

    facts = gathered(line)

    assert line.gateway.requests() == []
    assert why(facts, "payment.left") == "The gateway's connection is switched off."
    assert Decision.objects.get().tier == Tier.FULL_REVIEW


def test_a_protocol_nobody_speaks_stops_its_own_organizations_cases_only(line: Line, gateway, settings):
    other = make_line(gateway, settings, slug="other")
    Connection.objects.filter(pk=other.connection.pk).update(connector="telex")
    cases = [line.ask("19.80"), other.ask("19.80"), line.ask("19.80")]

    advance(claim())

    states = [Run.objects.get(case=case).state for case in cases]
    assert states == [RunState.WAITING, RunState.FAILED, RunState.WAITING]
