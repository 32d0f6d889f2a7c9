"""Races for the last penny of a payment: 200 payments in all, and 200 of each kind in the long run."""

from functools import partial

import pytest

from integrations import mirroring
from integrations.models import Payment
from integrations.tasks import send_due
from tests.factories import (
    make_case,
    make_organization,
    make_payment,
)
from tests.integrations.refunding import ready_to_act
from tests.plugins.line import Line
from tests.races import round_by_round
from workflows.engine.intake import take_in
from workflows.engine.running import advance, claim
from workflows.models import Run
from workflows.states import RunState


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
