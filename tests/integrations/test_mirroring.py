"""Copies of payments and refunds: every penny counted once, whatever order news arrives in and whoever reserves."""

from itertools import permutations

import pytest
from django.db import transaction

from auditlog.models import Entry
from integrations import mirroring
from integrations.gateways import PaymentSeen, Receipt
from integrations.models import Action, Payment, Refund
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from tests.factories import (
    make_action,
)
from tests.integrations.refunding import ready_to_act
from tests.plugins.line import Line
from tests.races import round_by_round


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
