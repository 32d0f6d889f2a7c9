"""Copies of payments and refunds: every penny counted once, whatever order news arrives in and whoever reserves."""

from datetime import timedelta
from functools import partial
from itertools import permutations

import pytest
from django.db import transaction

from auditlog.models import Entry
from integrations import mirroring, sending
from integrations.gateways import PaymentSeen, Receipt
from integrations.models import Action, Payment, Refund
from integrations.states import ActionState
from integrations.tasks import send_due
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from tests.factories import (
    make_action,
    make_authorization,
    make_case,
    make_decision,
    make_organization,
    make_payment,
    make_run,
)
from tests.plugins.line import Line, due_now, pass_time
from tests.races import round_by_round
from workflows.engine.intake import take_in
from workflows.engine.repairing import retry
from workflows.engine.running import advance, claim
from workflows.models import Case, Event, Run
from workflows.states import CaseState, RunState, Tier
from workflows.tasks import tick

ACT = 3  # position of the step that acts


def ready_to_act(line: Line, payment: Payment, amount: str) -> Run:
    """A run at its last step: decided, authorized, nothing reserved yet."""
    case = make_case(line.organization, amount=amount, target=payment.reference)
    run = make_run(case, position=ACT)
    make_decision(run, tier=Tier.INSTANT)
    make_authorization(run)
    return run


def payments(line: Line, count: int, captured: int = 10_000) -> list[Payment]:
    """Payments at a gateway that lets itself be drained, and their copies."""
    line.gateway.behave(allow_over_refund=True)
    names = [f"pi_{number}" for number in range(count)]
    line.gateway.seed([{"id": name, "amount": captured, "currency": "GBP", "created": 1_700_000_000} for name in names])
    return Payment.objects.bulk_create(
        Payment(
            organization=line.organization,
            connection=line.connection,
            reference=name,
            currency="GBP",
            captured_minor=captured,
        )
        for name in names
    )


def claimed(runs: list[Run]) -> dict[int, Run]:
    return {run.pk: run for run in claim(limit=10_000)} if runs else {}


def send_everything() -> None:
    while send_due():
        pass


def gone_by_payment(line: Line) -> dict[str, int]:
    sums: dict[str, int] = {}
    for effect in line.refunds():
        sums[effect["payment"]] = sums.get(effect["payment"], 0) + effect["amount"]
    return sums


# --- races for the last penny: 200 payments in all, and 200 of each kind in the long run -----------------------------


def times(usual: int) -> pytest.MarkDecorator:
    """So many rounds with every change, 200 in the long run."""
    return pytest.mark.parametrize("rounds", [usual, pytest.param(200, marks=pytest.mark.long)])


@times(100)
def test_two_refunds_of_60_at_once_never_get_more_than_100(committed_line: Line, rounds: int):
    pairs = [
        [ready_to_act(committed_line, payment, "60.00") for _ in range(2)]
        for payment in payments(committed_line, rounds)
    ]
    held = claimed([run for pair in pairs for run in pair])

    def act(place: int, number: int) -> None:
        advance([held[pairs[number][place].pk]])

    outcomes = round_by_round([partial(act, 0), partial(act, 1)], rounds)
    send_everything()

    assert all(outcome == [None, None] for outcome in outcomes)
    gone = gone_by_payment(committed_line)
    assert len(gone) == rounds
    assert set(gone.values()) == {6000}
    assert Run.objects.filter(state=RunState.FAILED).count() == rounds
    assert set(Payment.objects.values_list("reserved_minor", "refunded_minor")) == {(0, 6000)}


@times(40)
def test_eight_refunds_of_30_at_once_never_get_more_than_100(committed_line: Line, rounds: int):
    many = 8
    groups = [
        [ready_to_act(committed_line, payment, "30.00") for _ in range(many)]
        for payment in payments(committed_line, rounds)
    ]
    held = claimed([run for group in groups for run in group])

    def act(place: int, number: int) -> None:
        advance([held[groups[number][place].pk]])

    round_by_round([partial(act, place) for place in range(many)], rounds)
    send_everything()

    assert set(gone_by_payment(committed_line).values()) == {9000}
    assert set(Payment.objects.values_list("reserved_minor", "refunded_minor")) == {(0, 9000)}


@times(60)
def test_news_of_a_refund_in_the_dashboard_and_ours_at_once_never_get_more_than_100(committed_line: Line, rounds: int):
    """The gateway paid 60 of 100 past the desk; while the news comes in, the desk is about to send 60 of its own."""
    rows = payments(committed_line, rounds)
    runs = [ready_to_act(committed_line, payment, "60.00") for payment in rows]
    held = claimed(runs)
    refunds = [committed_line.gateway.refund_in_the_dashboard(payment.reference, 6000) for payment in rows]

    def hear(number: int) -> None:
        committed_line.news("refund.created", refunds[number])
        take_in()
        mirroring.reread_due()

    outcomes = round_by_round([hear, lambda number: advance([held[runs[number].pk]])], rounds)
    send_everything()

    assert all(outcome == [None, None] for outcome in outcomes)
    assert set(gone_by_payment(committed_line).values()) == {6000}
    assert set(Payment.objects.values_list("reserved_minor", "refunded_minor", "overbooked")) == {(0, 6000, False)}


@pytest.mark.django_db
def test_what_is_left_can_be_had_to_the_last_penny_and_no_further():
    payment = make_payment(make_case(make_organization()), captured="100.00")

    assert mirroring.reserve(payment.pk, 6000)
    assert not mirroring.reserve(payment.pk, 4001)
    assert mirroring.reserve(payment.pk, 4000)
    assert not mirroring.reserve(payment.pk, 1)
    payment.refresh_from_db()
    assert payment.reserved_minor == 10_000
    assert str(payment.left) == "£0.00"


# --- one refund counts once ------------------------------------------------------------------------------------------


@pytest.fixture
def payment(line: Line) -> Payment:
    """A payment of 100.00, seen once."""
    seen = PaymentSeen("pi_1", Money(10_000, "GBP"), Money(0, "GBP"), "succeeded", "1", "17548", clock.now())
    with transaction.atomic():
        return mirroring.take_payment(line.connection, seen)


def receipt(amount: int = 3000, status: str = "succeeded", reference: str = "re_1", key=None) -> Receipt:
    return Receipt(reference, "pi_1", Money(amount, "GBP"), status, clock.now(), key)


def take(payment: Payment, *receipts: Receipt) -> tuple[int, int, bool]:
    """Count receipts one after the other, as different transactions would; gives the sums that are stored."""
    for each in receipts:
        with transaction.atomic():
            mirroring.take_refund(Payment.objects.select_for_update().get(pk=payment.pk), each)
    payment.refresh_from_db()
    return payment.reserved_minor, payment.refunded_minor, payment.overbooked


def test_a_refund_counts_once_however_often_it_is_told(payment: Payment):
    assert take(payment, receipt(), receipt(), receipt()) == (0, 3000, False)
    assert Refund.objects.count() == 1
    assert Entry.objects.filter(verb="integrations.payment.refunded_elsewhere").count() == 1


def test_a_refund_that_fails_gives_its_money_back_once(payment: Payment):
    assert take(payment, receipt(), receipt(status="failed"), receipt(status="failed")) == (0, 0, False)
    assert mirroring.reserve(payment.pk, 10_000)


def test_a_refund_whose_amount_was_told_wrongly_is_put_right(payment: Payment):
    assert take(payment, receipt(2999), receipt(3000)) == (0, 3000, False)


def ours(line: Line, payment: Payment, amount: str = "30.00", state: ActionState = ActionState.SENDING) -> Action:
    run = ready_to_act(line, payment, amount)
    assert mirroring.reserve(payment.pk, run.case.amount_minor)
    return make_action(run, state=state, payment=payment, authorization=run.authorizations.get())


def test_our_refund_turns_what_was_held_into_what_went_back(line: Line, payment: Payment):
    action = ours(line, payment)

    assert take(payment, receipt(key=action.key), receipt(key=action.key)) == (0, 3000, False)
    action.refresh_from_db()
    assert not action.holds_reservation
    assert not Entry.objects.filter(verb="integrations.payment.refunded_elsewhere").exists()


@pytest.mark.parametrize("order", list(permutations(["pending", "succeeded", "failed"])), ids="-".join)
def test_states_of_our_refund_in_any_order_free_what_was_held_exactly_once(line: Line, payment: Payment, order):
    action = ours(line, payment)

    sums = take(payment, *[receipt(status=status, key=action.key) for status in order])

    # The last word counts; each was read from the gateway, so the last is how it stands.
    assert sums == (0, 0 if order[-1] == "failed" else 3000, False)


def test_more_gone_than_there_was_is_marked_and_blocks_until_it_fits_again(line: Line, payment: Payment):
    action = ours(line, payment, "60.00")

    assert take(payment, receipt(6000, reference="re_dashboard")) == (6000, 6000, True)
    assert not mirroring.reserve(payment.pk, 1)
    assert take(payment, receipt(6000, "failed", "re_dashboard")) == (6000, 0, False)
    assert take(payment, receipt(6000, key=action.key)) == (0, 6000, False)
    assert mirroring.reserve(payment.pk, 4000)


def test_a_payment_that_was_captured_for_less_is_marked(line: Line, payment: Payment):
    take(payment, receipt(6000))
    less = PaymentSeen("pi_1", Money(5000, "GBP"), Money(6000, "GBP"), "succeeded", "1", "17548", clock.now())

    with transaction.atomic():
        mirroring.take_payment(line.connection, less)

    payment.refresh_from_db()
    assert (payment.captured_minor, payment.overbooked, str(payment.left)) == (5000, True, "£0.00")


def test_two_workers_who_see_a_new_payment_at_once_make_one_copy(committed_line: Line):
    rounds = 30

    def see(number: int) -> int:
        seen = PaymentSeen(f"pi_{number}", Money(100, "GBP"), Money(0, "GBP"), "succeeded", "1", "17548", clock.now())
        with transaction.atomic():
            return mirroring.take_payment(committed_line.connection, seen).pk

    outcomes = round_by_round([see, see], rounds)

    assert Payment.objects.count() == rounds
    assert all(first == second for first, second in outcomes)


# --- refunds that fail after all -------------------------------------------------------------------------------------


def done_refund(line: Line, amount: str = "19.80") -> tuple[Case, dict]:
    """A case that is done, and its refund as the gateway has it."""
    case = line.ask(amount)
    line.work()
    case.refresh_from_db()
    assert case.state == CaseState.DONE
    reference = Action.objects.get(case=case).external_reference
    return case, line.gateway.get(f"/v1/refunds/{reference}").json


def state_of(case: Case) -> str:
    case.refresh_from_db()
    return case.state


def test_a_refund_that_fails_days_later_brings_its_case_back(line: Line):
    case, refund = done_refund(line)
    line.news("refund.failed", line.gateway.fail(refund["id"]))

    line.work()

    assert state_of(case) == CaseState.FAILED
    assert case.standing.startswith("The gateway reports that a verified refund failed later")
    payment = Payment.objects.get()
    assert (payment.reserved_minor, payment.refunded_minor) == (0, 0)
    [entry] = Entry.objects.filter(verb="integrations.refund.failed_late")
    assert (entry.case_id, entry.after) == (case.pk, {"refund": refund["id"]})
    assert case.runs.count() == 2
    line.assert_sound()


def test_a_case_that_came_back_is_refunded_again_once(line: Line):
    case, refund = done_refund(line)
    line.news("refund.failed", line.gateway.fail(refund["id"]))
    line.work()

    retry(case.runs.first().pk, by=line.cast.maya, reason="The customer gave another account.")
    line.work()

    assert state_of(case) == CaseState.DONE
    assert [effect["amount"] for effect in line.refunds(case)] == [1980, 1980]
    assert Payment.objects.get().refunded_minor == 1980


def test_old_news_does_not_bring_a_repaired_case_back_again(line: Line):
    case, refund = done_refund(line)
    failed = line.gateway.fail(refund["id"])
    line.news("refund.failed", failed)
    line.work()
    retry(case.runs.first().pk, by=line.cast.maya, reason="The customer gave another account.")
    line.work()

    line.news("charge.refund.updated", {**failed, "amount": 1})  # differs, so the payment is read again
    line.work()

    assert state_of(case) == CaseState.DONE
    assert case.runs.count() == 2
    assert Entry.objects.filter(verb="integrations.refund.failed_late").count() == 1


def test_a_refund_that_fails_before_its_case_is_closed_does_not_leave_it_done(line: Line):
    case = line.ask("19.80")
    tick()
    sending.send_due()  # verified; the run has not looked yet
    refund = Action.objects.get().external_reference
    line.news("refund.failed", line.gateway.fail(refund))
    take_in()
    mirroring.reread_due()

    line.work()
    pass_time(timedelta(minutes=1))
    line.work()

    assert state_of(case) == CaseState.FAILED
    assert Payment.objects.get().refunded_minor == 0
    line.assert_sound()


def test_the_last_failure_counts_when_a_case_comes_back_twice(line: Line):
    case, refund = done_refund(line)
    for round_ in range(2):
        line.news("refund.failed", line.gateway.fail(refund["id"]))
        line.work()
        assert state_of(case) == CaseState.FAILED, round_
        retry(case.runs.first().pk, by=line.cast.maya, reason="Again.")
        line.work()
        assert state_of(case) == CaseState.DONE
        newest = Action.objects.filter(case=case).order_by("-pk").first()
        refund = line.gateway.get(f"/v1/refunds/{newest.external_reference}").json

    assert len(line.refunds(case)) == 3
    assert Payment.objects.get().refunded_minor == 1980


# --- reading again ---------------------------------------------------------------------------------------------------


def reread(line: Line, *rows: Payment) -> None:
    for row in rows:
        line.news("refund.updated", {"object": "refund", "payment_intent": row.reference})
    take_in()


def test_a_payment_that_cannot_be_read_now_is_read_later(line: Line):
    order = line.paid()
    line.ask("19.80", order=order)
    line.work()
    [row] = Payment.objects.all()
    line.gateway.refund_in_the_dashboard(row.reference, 100)
    reread(line, row)
    line.gateway.fault("503", method="GET", path="/v1/payment_intents")

    mirroring.reread_due()
    row.refresh_from_db()
    assert row.refunded_minor == 1980
    line.let_pass(seconds=31)

    row.refresh_from_db()
    assert (row.refunded_minor, row.reread_at) == (2080, None)


def test_a_payment_is_not_read_earlier_than_the_gateway_says(line: Line):
    line.ask("19.80")
    line.work()
    [row] = Payment.objects.all()
    reread(line, row)
    line.gateway.fault("429=300", method="GET", path="/v1/payment_intents")

    mirroring.reread_due()

    row.refresh_from_db()
    assert row.reread_at - clock.now() > timedelta(seconds=290)


def test_one_payment_that_breaks_does_not_keep_others_from_being_read(line: Line):
    for _ in range(3):
        line.ask("19.80")
    line.work()
    rows = list(Payment.objects.order_by("pk"))
    for row in rows:
        line.gateway.refund_in_the_dashboard(row.reference, 100)
    reread(line, *rows)
    Payment.objects.filter(pk=rows[0].pk).update(reference="pi_" + "x" * 95)  # no reference of the gateway
    other = type(line.connection).objects.create(
        organization=line.organization, slug="fax", name="Fax", connector="no-such-protocol"
    )
    Payment.objects.filter(pk=rows[1].pk).update(connection=other)

    mirroring.reread_due()

    rows[2].refresh_from_db()
    assert (rows[2].refunded_minor, rows[2].reread_at) == (2080, None)


def test_the_events_of_a_replayed_gateway_end_in_the_same_sums(line: Line):
    """Everything the gateway ever said about a refund, in each of some orders, with duplicates."""
    case, _ = done_refund(line)
    payment = Payment.objects.get()
    dashboard = line.gateway.refund_in_the_dashboard(payment.reference, 700)
    line.gateway.fail(dashboard["id"])
    told = line.gateway.get("/v1/events?limit=100").json["data"]
    assert len(told) >= 6

    for round_ in range(6):
        order = told[round_:] + told[:round_]
        for event in [*order, *reversed(order)]:
            line.news(event["type"], event["data"]["object"])
        line.work()
        line.let_pass(seconds=6)
        payment.refresh_from_db()
        assert (payment.reserved_minor, payment.refunded_minor) == (0, 1980)
        assert state_of(case) == CaseState.DONE

    assert not Event.objects.filter(state="received").exists()
    line.assert_sound()


def test_runs_wait_for_nothing_that_is_done(line: Line):
    done_refund(line)

    due_now(Run.objects.all())

    assert claim() == []
