"""Done is what the gateway shows: each refund is read back, and what differs goes to people."""

import pytest

from integrations import sending
from integrations.models import Action, Payment
from integrations.states import ActionState
from tests.integrations.refunding import REFUNDS, fresh, patiently, planned, posts
from tests.plugins.line import Line
from workflows.cases import correct
from workflows.engine.repairing import retry
from workflows.models import Case
from workflows.states import CaseState


def test_done_is_what_the_gateway_shows_and_not_what_it_answered(line: Line):
    [action] = planned(line)
    line.gateway.fault("wrong_answer=-500", method="POST", path=REFUNDS)

    line.work()

    assert fresh(action).state == ActionState.VERIFIED
    assert Payment.objects.get().refunded_minor == 2000
    line.assert_sound()


def test_another_amount_than_ours_goes_to_people_and_counts_as_it_is(line: Line):
    [action] = planned(line)
    line.gateway.fault("wrong_amount=-500", method="POST", path=REFUNDS)

    line.work()

    action = fresh(action)
    assert (action.state, action.message) == (
        ActionState.MISMATCHED,
        "The gateway refunded £15.00 instead of £20.00.",
    )
    assert (action.payment.refunded_minor, action.payment.reserved_minor) == (1500, 0)
    assert Case.objects.get().state == CaseState.FAILED


def test_a_gateway_that_lies_twice_about_a_refund_is_asked_until_two_answers_agree(line: Line):
    [action] = planned(line)
    for _ in range(3):
        line.gateway.fault("wrong_answer=-500", method="GET", path=f"{REFUNDS}/")

    patiently(line, rounds=5)

    # What was paid over stands as the gateway's books have it, and the case waits for somebody all the same.
    assert (fresh(action).state, fresh(action).payment.refunded_minor) == (ActionState.VERIFIED, 2000)
    assert Case.objects.get().state == CaseState.FAILED
    assert not Payment.objects.filter(reread_at__isnull=False).exists()
    line.assert_sound()


def test_a_wrong_amount_is_not_followed_by_a_second_refund(line: Line):
    [action] = planned(line, amount="9.00")
    line.gateway.fault("wrong_amount=-500", method="POST", path=REFUNDS)
    line.work()

    retry(action.run_id, by=line.cast.maya, reason="Perhaps now.")
    line.work()

    assert [effect["amount"] for effect in line.refunds()] == [400]
    assert Case.objects.get().state == CaseState.FAILED


def test_a_case_that_is_corrected_to_what_went_back_is_done(line: Line):
    [action] = planned(line, amount="9.00")
    line.gateway.fault("wrong_amount=-500", method="POST", path=REFUNDS)
    line.work()

    correct(action.case_id, by=line.cast.maya, changes={"amount": "4.00"}, reason="The customer agreed to that.")
    line.work()

    assert [effect["amount"] for effect in line.refunds()] == [400]
    assert Case.objects.get().state == CaseState.DONE


@pytest.mark.parametrize("fault", ["lost_before", "503", "500_before", "429=0", "reset_mid_body"])
def test_a_refund_that_cannot_be_read_back_yet_is_read_back_later(line: Line, fault: str):
    [action] = planned(line)
    line.gateway.fault(fault, method="GET", path=REFUNDS)

    sending.send_due()
    assert fresh(action).state == ActionState.SUCCEEDED
    assert Case.objects.get().state == CaseState.OPEN
    patiently(line, rounds=2)

    assert fresh(action).state == ActionState.VERIFIED
    assert len(posts(line)) == len(line.refunds()) == 1


def test_a_refund_that_the_gateway_no_longer_knows_goes_to_people(line: Line):
    [action] = planned(line)
    line.gateway.fault("lost_before", method="GET", path=REFUNDS)
    sending.send_due()
    line.gateway.reset()

    patiently(line, rounds=2, minutes=1)
    assert fresh(action).state == ActionState.SUCCEEDED  # it may only not be there yet
    patiently(line, rounds=3, minutes=10)

    assert fresh(action).state == ActionState.MISMATCHED
    assert Case.objects.get().state == CaseState.FAILED
    retry(action.run_id, by=line.cast.maya, reason="Perhaps now.")
    line.work()
    assert Case.objects.get().state != CaseState.DONE
    assert Action.objects.count() == 1


def test_a_pending_refund_is_waited_for(line: Line):
    [action] = planned(line)
    line.gateway.fault("pending", method="POST", path=REFUNDS)
    sending.send_due()
    assert fresh(action).state == ActionState.SUCCEEDED
    patiently(line, rounds=2)
    assert fresh(action).state == ActionState.SUCCEEDED

    line.gateway.settle(fresh(action).external_reference)
    patiently(line, rounds=1)

    assert fresh(action).state == ActionState.VERIFIED
    line.assert_sound()


def test_a_pending_refund_that_fails_frees_the_money_once_and_can_be_made_again(line: Line):
    [action] = planned(line)
    line.gateway.fault("pending", method="POST", path=REFUNDS)
    line.work()
    reference = fresh(action).external_reference
    line.gateway.fail(reference)
    line.news("refund.failed", line.gateway.get(f"{REFUNDS}/{reference}").json)

    line.work()
    patiently(line, rounds=1)

    action = fresh(action)
    assert action.state == ActionState.MISMATCHED
    assert (action.payment.reserved_minor, action.payment.refunded_minor) == (0, 0)
    retry(action.run_id, by=line.cast.maya, reason="The bank takes it now.")
    line.work()
    assert Case.objects.get().state == CaseState.DONE
    assert Payment.objects.get().refunded_minor == 2000
    line.assert_sound()
