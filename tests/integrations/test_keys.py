"""The life of an idempotency key: sent again within it, only looked up after it, never built from anything."""

from collections import Counter

import pytest

from integrations import sending
from integrations.models import Payment
from integrations.states import ActionState
from tests.integrations.refunding import REFUNDS, fresh, patiently, planned, posts, use
from tests.plugins.line import Line
from workflows.engine.repairing import retry
from workflows.models import Case
from workflows.states import CaseState


def test_within_its_life_the_same_key_is_sent_again(line: Line):
    [action] = planned(line)
    line.gateway.fault("lost_before", method="POST", path=REFUNDS)
    sending.send_due()

    line.gateway.age_keys(22 * 3600)
    line.let_pass(hours=22, minutes=59)

    assert fresh(action).state == ActionState.VERIFIED
    assert posts(line) == [str(action.key)] * 2
    assert len(line.refunds()) == 1


@pytest.mark.parametrize("minutes", [23 * 60 + 1, 23 * 60 + 59, 24 * 60 + 1])
def test_after_its_life_a_key_is_only_looked_up(line: Line, minutes: int):
    """A key counts as dead an hour before the gateway forgets it; nothing is sent in that hour, nor after it."""
    actions = planned(line, 2)
    for fault in ("lost_before", "lost_after"):
        line.gateway.fault(fault, method="POST", path=REFUNDS)
    sending.send_due()

    line.gateway.age_keys(minutes * 60)
    line.let_pass(minutes=minutes)

    lost, found = sorted(map(fresh, actions), key=lambda action: action.state)
    assert (lost.state, found.state) == (ActionState.FAILED, ActionState.VERIFIED)
    assert len(posts(line)) == 2
    assert [effect["idempotency_key"] for effect in line.refunds()] == [str(found.key)]
    assert lost.payment.reserved_minor == lost.payment.refunded_minor == 0
    line.assert_sound()


def test_without_keys_nothing_is_ever_sent_twice(line: Line):
    line.gateway.behave(key_mode="none")
    use(line, "keyless")
    actions = planned(line, 4)
    line.gateway.fault("lost_after", method="POST", path=REFUNDS, times=2)
    line.gateway.fault("lost_before", method="POST", path=REFUNDS, times=2)

    sending.send_due()
    patiently(line, rounds=1, minutes=1)
    waiting = Counter(fresh(action).state for action in actions)
    patiently(line, rounds=4, minutes=5)

    # What cannot be found a minute later may still be on its way; after a while it is not.
    assert waiting == {ActionState.VERIFIED: 2, ActionState.UNKNOWN: 2}
    assert Counter(fresh(action).state for action in actions) == {ActionState.VERIFIED: 2, ActionState.FAILED: 2}
    assert sorted(posts(line)) == sorted(str(action.key) for action in actions)
    assert len(line.refunds()) == 2


def test_an_error_that_is_stored_under_the_key_ends_in_a_look_up_not_in_a_circle(line: Line):
    [action] = planned(line)
    line.gateway.fault("500_before", method="POST", path=REFUNDS)

    sending.send_due()
    patiently(line, rounds=5)

    assert fresh(action).state == ActionState.FAILED
    assert len(posts(line)) == 2
    assert Payment.objects.get().reserved_minor == 0
    retry(action.run_id, by=line.cast.maya, reason="Under a new key.")
    line.work()
    assert len(line.refunds()) == 1
    assert Case.objects.get().state == CaseState.DONE
    line.assert_sound()


def test_a_key_that_was_used_for_something_else_has_had_no_effect_for_us(line: Line):
    [action] = planned(line)
    line.gateway.post(REFUNDS, {"payment_intent": action.payment.reference, "amount": "1"}, key=str(action.key))

    line.work()

    assert fresh(action).state == ActionState.FAILED
    assert [effect["amount"] for effect in line.refunds()] == [1]


def test_keys_are_random_and_never_change(line: Line):
    actions = planned(line, 3)
    keys = [action.key for action in actions]

    line.work()

    assert len(set(keys)) == 3
    assert all(key.version == 4 for key in keys)
    assert [fresh(action).key for action in actions] == keys
