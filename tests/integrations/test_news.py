"""News of refunds: in any order and any number, they lead to what the gateway has, and echoes cost no call."""

from datetime import timedelta
from itertools import permutations

import pytest

from integrations import mirroring
from integrations.models import Action, Endpoint, Payment, Refund
from integrations.secrets import encrypt
from tests.plugins.line import Line, pass_time
from workflows.engine.intake import take_in
from workflows.models import Case, Event
from workflows.states import CaseState, EventState


@pytest.fixture
def done(line: Line) -> Payment:
    """A payment of 500.00 of which the desk has given back 19.80, recorded and verified."""
    line.ask("19.80")
    line.work()
    return Payment.objects.get()


def refund_of(line: Line) -> dict:
    return line.gateway.get(f"/v1/refunds/{Action.objects.get().external_reference}").json


def charge_of(line: Line, payment: Payment) -> dict:
    return line.gateway.get(f"/v1/payment_intents/{payment.reference}?expand[]=latest_charge").json["latest_charge"]


def hear(line: Line, *news: tuple[str, dict]) -> list[str]:
    """Take news in, in one batch; what was said of each."""
    events = [line.news(kind, about) for kind, about in news]
    take_in()
    return list(
        Event.objects.filter(pk__in=[event.pk for event in events]).order_by("pk").values_list("reason", flat=True)
    )


def reread(line: Line) -> int:
    """Work off the news a while later; how many calls that took."""
    before = len(line.gateway.requests())
    pass_time(timedelta(seconds=6))
    mirroring.reread_due()
    return len(line.gateway.requests()) - before


def sums(payment: Payment) -> tuple[int, int]:
    payment.refresh_from_db()
    return payment.reserved_minor, payment.refunded_minor


def test_the_echo_of_our_own_refund_costs_no_call(line: Line, done: Payment):
    refund, charge = refund_of(line), charge_of(line, done)

    said = hear(line, ("refund.created", refund), ("charge.refunded", charge), ("refund.updated", refund))

    assert reread(line) == 0
    assert said[0] == f"Refund {refund['id']} is known just so."
    assert sums(done) == (0, 1980)


def test_news_of_a_refund_in_the_dashboard_is_read(line: Line, done: Payment):
    refund = line.gateway.refund_in_the_dashboard(done.reference, 700)

    hear(line, ("refund.created", refund))

    assert reread(line) == 2
    assert sums(done) == (0, 2680)


def test_news_of_a_charge_alone_is_enough(line: Line, done: Payment):
    line.gateway.refund_in_the_dashboard(done.reference, 700)

    hear(line, ("charge.refunded", charge_of(line, done)))

    assert reread(line) == 2
    assert sums(done) == (0, 2680)


def test_a_late_echo_does_not_cover_the_news_of_a_failure(line: Line, done: Payment):
    """What was told first about the charge agrees with the desk; that the refund failed meanwhile still counts."""
    before = charge_of(line, done)
    failed = line.gateway.fail(refund_of(line)["id"])

    hear(line, ("refund.failed", failed), ("charge.refunded", before))
    reread(line)
    line.work()

    assert sums(done) == (0, 0)
    assert Case.objects.get().state == CaseState.FAILED


@pytest.mark.parametrize("together", [True, False])
def test_an_old_total_does_not_cover_a_newer_one(line: Line, done: Payment, together: bool):
    old = charge_of(line, done)
    line.gateway.refund_in_the_dashboard(done.reference, 700)
    new = charge_of(line, done)

    if together:
        hear(line, ("charge.refunded", new), ("charge.refunded", old))
    else:
        hear(line, ("charge.refunded", new))
        hear(line, ("charge.refunded", old))
    reread(line)

    assert sums(done) == (0, 2680)


NEWS = ("refund.created", "charge.refunded", "refund.updated", "refund.failed")


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
def test_all_orders_of_the_news_of_a_failed_refund_end_the_same(line: Line, order: tuple[int, ...], together: bool):
    order_ = line.paid()
    line.ask("19.80", order=order_)
    line.work()
    payment = Payment.objects.get()
    refund, charge = refund_of(line), charge_of(line, payment)
    failed = line.gateway.fail(refund["id"])
    told = list(zip(NEWS, (refund, charge, failed, failed), strict=True))

    if together:
        hear(line, *[told[place] for place in order])
        reread(line)
    else:
        for place in order:
            hear(line, told[place])
            reread(line)
    line.work()

    assert sums(payment) == (0, 0)
    assert Refund.objects.get().status == Refund.Status.FAILED
    assert Case.objects.get().state == CaseState.FAILED


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"object": "refund"},
        {"object": "refund", "payment_intent": 7},
        {"object": "refund", "payment_intent": "pi_../../v1"},
        {"object": "refund", "payment_intent": {"id": "pi_1"}},
        {"object": "charge", "amount_refunded": "1"},
        {"object": "charge", "amount_refunded": True, "payment_intent": "pi_1"},
        {"object": "charge", "amount_refunded": -1, "payment_intent": None},
        {"object": "charge", "amount_refunded": 10**20, "payment_intent": "pi_1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["refund.failed", "charge.refunded"])
def test_news_that_makes_no_sense_is_set_aside_in_words(line: Line, about: dict, kind: str):
    [said] = hear(line, (kind, about))

    assert said
    assert Event.objects.get(source="wholesale-uk/gateway").state in (EventState.PROCESSED, EventState.IGNORED)
    assert reread(line) == 0


@pytest.mark.parametrize("kind", ["refund.failed", "charge.refunded"])
def test_an_amount_beyond_any_column_is_read_again_instead_of_stored(line: Line, done: Payment, kind: str):
    about = {"object": "charge", "amount_refunded": 10**20, "payment_intent": done.reference}

    hear(line, (kind, about))

    assert Event.objects.get(source="wholesale-uk/gateway").state == EventState.PROCESSED
    reread(line)
    assert sums(done) == (0, 1980)


def test_news_about_a_payment_nobody_asked_about_is_nobodys(line: Line):
    order = line.paid()
    refund = line.gateway.refund_in_the_dashboard(f"pi_{order}", 700)

    [said] = hear(line, ("refund.created", refund))

    assert said == f"The desk has no case about payment pi_{order}."
    assert reread(line) == 0


def test_news_of_another_connection_touches_nothing(line: Line, done: Payment):
    """Who may speak for one gateway may not speak for another."""
    other = type(line.connection).objects.create(
        organization=line.organization, slug="other", name="Other", connector="stripe"
    )
    Endpoint.objects.create(
        organization=line.organization, connection=other, slug="other", scheme="stripe", secret=encrypt("x")
    )
    refund = line.gateway.refund_in_the_dashboard(done.reference, 700)
    event = line.news("refund.created", refund)
    Event.objects.filter(pk=event.pk).update(source="wholesale-uk/other")

    take_in()

    event.refresh_from_db()
    assert event.reason.startswith("The desk has no case about payment")
    done.refresh_from_db()
    assert done.reread_at is None


def test_news_opens_no_case(line: Line, done: Payment):
    hear(line, ("refund.failed", line.gateway.fail(refund_of(line)["id"])))

    assert Case.objects.count() == 1
