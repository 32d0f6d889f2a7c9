"""The answer to a refund is lost: one effect each, under one key, whatever becomes of the answer."""

from collections import Counter

import pytest

from integrations import claiming, sending
from integrations.connectors.stripe.connector import StripeGateway
from integrations.errors import CallFailed
from integrations.gateways import gateway_of
from integrations.models import Action, Payment
from integrations.operations import add_connector
from integrations.recording import record_answer
from integrations.states import ActionState
from tests.integrations.refunding import REFUNDS, fresh, patiently, planned, posts, use
from tests.plugins.line import Line
from tests.plugins.sandbox import wait_until
from workflows.models import Case
from workflows.states import CaseState, FailureKind


@pytest.mark.parametrize("mode", ["stripe-v1", "2xx-only", "none"])
def test_a_lost_answer_is_one_effect_under_one_key(line: Line, mode: str):
    """Done and then lost in five ways, and lost before in three: 24 refunds for each way in which keys may work."""
    ways = ["lost_after", "reset_mid_body", "500_after", "slow=1", "lost_before", "503", "429=0", "slow=0.1"]
    line.gateway.behave(key_mode=mode)
    actions = planned(line, 3 * len(ways))
    use(line, "hasty")
    for way in ways:
        line.gateway.fault(way, method="POST", path=REFUNDS, times=3)

    sending.send_due(limit=100)
    lost = Action.objects.filter(state=ActionState.UNKNOWN).count()
    line.work()
    patiently(line, rounds=4)

    assert lost >= 3 * 5
    assert Counter(fresh(action).state for action in actions) == {ActionState.VERIFIED: len(actions)}
    effects = Counter(effect["idempotency_key"] for effect in line.refunds())
    assert effects == {str(action.key): 1 for action in actions}
    assert set(posts(line)) == set(effects)
    assert set(Case.objects.values_list("state", flat=True)) == {CaseState.DONE}
    line.assert_sound()


def test_an_effect_that_comes_after_the_connection_broke_is_found(line: Line):
    [action] = planned(line)
    line.gateway.fault("effect_later=0.3", method="POST", path=REFUNDS)
    sending.send_due()
    assert fresh(action).state == ActionState.UNKNOWN

    wait_until(line.refunds)
    patiently(line, rounds=2)

    assert fresh(action).state == ActionState.VERIFIED
    assert [effect["idempotency_key"] for effect in line.refunds()] == [str(action.key)]


def test_a_worker_that_died_after_the_effect_leaves_it_to_be_looked_up(line: Line):
    [action] = planned(line)
    [claimed] = claiming.claim(20).actions
    answer = sending.carry_out(gateway_of(claimed.connection), claimed)
    assert answer.seen is not None  # and here the worker dies

    line.work()
    assert fresh(action).state == ActionState.SENDING  # its lease still runs
    line.let_pass(seconds=61)

    assert fresh(action).state == ActionState.VERIFIED
    assert len(line.refunds()) == len(posts(line)) == 1
    record_answer(claimed, answer)  # it was only slow after all: too late
    assert Payment.objects.get().refunded_minor == 2000


def test_a_worker_that_died_before_the_call_has_it_made_by_the_next(line: Line):
    [action] = planned(line)
    claiming.claim(20)

    line.let_pass(seconds=61)

    assert fresh(action).state == ActionState.VERIFIED
    assert posts(line) == [str(action.key)]


def test_two_refunds_under_one_key_are_never_called_refused(line: Line):
    """At a gateway without keys somebody sent ours twice: the desk knows no better than that, and frees nothing."""
    line.gateway.behave(key_mode="none")
    [action] = planned(line)
    line.gateway.fault("lost_before", method="POST", path=REFUNDS)
    sending.send_due()
    for _ in range(2):
        fields = {
            "payment_intent": action.payment.reference,
            "amount": "2000",
            "metadata[opsdesk_key]": str(action.key),
        }
        line.gateway.post(REFUNDS, fields)

    patiently(line, rounds=3)

    assert fresh(action).state == ActionState.UNKNOWN
    assert "two refunds" in fresh(action).message
    payment = Payment.objects.get()
    assert payment.reserved_minor + payment.refunded_minor >= 2000
    assert len(posts(line)) == 3


def test_a_look_up_that_is_refused_says_nothing_about_the_refund(line: Line):
    class TongueTied(StripeGateway):
        def find_refund(self, **details):
            raise CallFailed(FailureKind.DATA, "Lists are not for you.", effect_possible=False)

    add_connector("tongue-tied", TongueTied)
    use(line, "tongue-tied")
    [action] = planned(line)
    line.gateway.fault("lost_after", method="POST", path=REFUNDS)
    sending.send_due()

    patiently(line, rounds=3)

    assert (fresh(action).state, fresh(action).message) == (
        ActionState.UNKNOWN,
        "It could not be looked up: Lists are not for you.",
    )
    assert Payment.objects.get().reserved_minor == 2000
    assert len(posts(line)) == 1
