"""Refusals, pauses and outages of a gateway: obeyed, waited out within bounds, then given to a person."""

from datetime import timedelta

import pytest

from integrations import sending
from integrations.models import Action, Payment
from integrations.states import ActionState
from opsdesk.lib import clock
from tests.integrations.refunding import REFUNDS, fresh, patiently, planned, posts
from tests.plugins.line import Line
from workflows.models import Case, Run
from workflows.states import CaseState, RunState


def due_in(row: Action) -> timedelta:
    due_at = fresh(row).due_at
    assert due_at is not None
    return due_at - clock.now()


@pytest.mark.parametrize("told", ["429=40", "429=date:40"])
@pytest.mark.parametrize("call", ["POST", "GET"])
def test_the_gateway_says_how_long_to_stay_away(line: Line, told: str, call: str):
    """In seconds or as a date, whether the refund itself is put off or only its reading back."""
    [action] = planned(line)
    line.gateway.fault(told, method=call, path=REFUNDS)

    sending.send_due()
    assert timedelta(seconds=35) < due_in(action) <= timedelta(seconds=102)
    before = len(line.gateway.requests())
    line.let_pass(seconds=30)
    assert len(line.gateway.requests()) == before
    line.let_pass(seconds=75)

    assert fresh(action).state == ActionState.VERIFIED
    assert len(line.refunds()) == 1


def test_a_gateway_that_keeps_putting_off_is_given_up_for_a_person(line: Line):
    [action] = planned(line)
    line.gateway.fault("429=0", method="POST", path=REFUNDS, times=100)

    patiently(line)

    assert fresh(action).state == ActionState.FAILED
    assert len(posts(line)) == line.connection.most_attempts == 3
    assert Payment.objects.get().reserved_minor == 0
    assert Run.objects.get().state == RunState.FAILED


def test_an_outage_is_waited_out(line: Line):
    [action] = planned(line)
    line.gateway.fault("503", method="POST", path=REFUNDS, times=9)

    patiently(line, rounds=8)
    assert fresh(action).state in (ActionState.RESERVED, ActionState.UNKNOWN)
    assert Run.objects.get().state == RunState.WAITING
    patiently(line, rounds=4)

    assert fresh(action).state == ActionState.VERIFIED
    assert len(line.refunds()) == 1


def test_an_outage_is_over_when_it_is_over(line: Line):
    """Nothing answers for half an hour, look-ups neither; then all of it is done, without anybody's doing."""
    actions = planned(line, 3)
    line.gateway.fault("503", path="/v1/", times=60)
    line.gateway.fault("lost_after", method="POST", path=REFUNDS)

    while line.gateway.control("faults", method="GET")["queue"]:
        line.let_pass(minutes=2)
    patiently(line, rounds=3, minutes=11)

    assert {fresh(action).state for action in actions} == {ActionState.VERIFIED}
    assert len(line.refunds()) == 3


def test_a_gateway_that_stumbles_each_time_is_asked_seldom(line: Line):
    line.gateway.behave(key_mode="2xx-only")
    [action] = planned(line)
    line.gateway.fault("500_before", method="POST", path=REFUNDS, times=1_000)

    patiently(line, rounds=60, minutes=1)

    assert fresh(action).state == ActionState.UNKNOWN
    assert len(posts(line)) <= 12
    line.gateway.behave_well()
    patiently(line, rounds=1, minutes=20)
    assert fresh(action).state == ActionState.VERIFIED


def test_weeks_of_outage_do_not_overflow_the_count(line: Line):
    [action, other] = planned(line, 2)
    Action.objects.filter(pk=action.pk).update(attempts=32_767)
    line.gateway.fault("503", method="POST", path=REFUNDS)

    line.work()
    patiently(line, rounds=2)

    assert {fresh(action).state, fresh(other).state} == {ActionState.VERIFIED}


def test_what_the_gateway_refuses_frees_the_money_and_goes_to_people(line: Line):
    [action] = planned(line)
    line.gateway.refund_in_the_dashboard(action.payment.reference)  # all of it is gone

    line.work()

    action = fresh(action)
    assert (action.state, action.payment.reserved_minor, action.holds_reservation) == (ActionState.FAILED, 0, False)
    case = Case.objects.get()
    assert case.state == CaseState.FAILED
    assert case.standing.startswith("The gateway refuses: Gateway: ")
