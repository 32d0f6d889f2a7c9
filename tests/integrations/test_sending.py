"""Sending refunds through a gateway that misbehaves: one effect each, under one key, whatever becomes of the answer."""

import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pgtrigger
import pytest
import time_machine

from integrations import claiming, sending
from integrations.connectors.stripe.connector import REFUNDS as REFUNDS_OPERATION
from integrations.connectors.stripe.connector import StripeGateway
from integrations.errors import CallFailed
from integrations.gateways import gateway_of
from integrations.http import Limits
from integrations.mirroring import reread_due
from integrations.models import Action, Call, Connection, Payment
from integrations.operations import add_connector
from integrations.recording import record_answer
from integrations.states import ActionState
from opsdesk.lib import clock
from tests.plugins.line import Line, pass_time
from tests.plugins.sandbox import wait_until
from tests.races import at_once
from workflows.cases import correct
from workflows.engine.repairing import retry
from workflows.models import Case, Run
from workflows.states import CaseState, FailureKind, RunState
from workflows.tasks import tick

REFUNDS = "/v1/refunds"
add_connector("hasty", partial(StripeGateway, limits=Limits(read=0.4, total=0.8)))


class Keyless(StripeGateway):
    """A gateway at which keys mean nothing."""

    operations = (
        replace(REFUNDS_OPERATION, idempotency=replace(REFUNDS_OPERATION.idempotency, key_life=timedelta(0))),
    )


add_connector("keyless", Keyless)


def planned(line: Line, count: int = 1, amount: str = "20.00") -> list[Action]:
    """Instant refunds of so many payments, ready to be sent."""
    for _ in range(count):
        line.ask(amount)
    while tick():
        pass
    actions = list(Action.objects.order_by("pk").select_related("payment"))[-count:]
    assert [action.state for action in actions] == [ActionState.RESERVED] * count
    return actions


def fresh(action: Action) -> Action:
    return Action.objects.select_related("payment", "case").get(pk=action.pk)


def posts(line: Line) -> list[str]:
    """The keys of all refunds that were asked for, in their order."""
    asked = line.gateway.requests()
    return [row["idempotency_key"] for row in asked if row["method"] == "POST" and row["path"] == REFUNDS]


def patiently(line: Line, *, rounds: int = 12, minutes: int = 2) -> None:
    """Look again and again, as the workers would over so many minutes each."""
    for _ in range(rounds):
        line.let_pass(minutes=minutes)


def use(line: Line, connector: str) -> None:
    Connection.objects.filter(pk=line.connection.pk).update(connector=connector)


# --- outcome not known -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["stripe-v1", "2xx-only", "none"])
def test_a_lost_answer_is_one_effect_under_one_key(line: Line, mode: str):
    """Done and then lost in five ways, and lost before in three: 24 refunds for each way in which keys may work."""
    ways = ["lost_after", "reset_mid_body", "500_after", "slow=1", "lost_before", "503", "429=0", "slow=0.1"]
    line.gateway.behave(key_mode=mode)
    use(line, "hasty")
    actions = planned(line, 3 * len(ways))
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


# --- the life of a key -----------------------------------------------------------------------------------------------


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


# --- refusals and pauses ---------------------------------------------------------------------------------------------


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


# --- reading back ----------------------------------------------------------------------------------------------------


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


# --- who sends, and when not -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["acting", "connection", "organization", "workflow"])
def test_nothing_is_sent_behind_a_kill_switch(line: Line, switch: str):
    [action] = planned(line)
    workflow = action.run.workflow
    match switch:
        case "acting":
            line.connection.acting_enabled = False
        case "connection":
            line.connection.enabled = False
        case "organization":
            line.organization.acting_enabled = False
        case "workflow":
            workflow.enabled = False
    for row in (line.connection, line.organization, workflow):
        row.save()

    line.work()
    assert fresh(action).state == ActionState.RESERVED
    assert posts(line) == []
    type(line.connection).objects.update(acting_enabled=True, enabled=True)
    type(line.organization).objects.update(acting_enabled=True)
    type(workflow).objects.update(enabled=True)
    line.work()

    assert fresh(action).state == ActionState.VERIFIED


def test_what_was_sent_is_read_back_although_nothing_more_may_be_sent(line: Line):
    [action] = planned(line)
    line.gateway.fault("lost_before", method="GET", path=REFUNDS)
    sending.send_due()
    Connection.objects.filter(pk=line.connection.pk).update(acting_enabled=False)

    patiently(line, rounds=1)

    assert fresh(action).state == ActionState.VERIFIED


def test_money_that_went_back_past_the_desk_meanwhile_stops_what_was_not_sent_yet(line: Line):
    """The gateway is lax; only what the desk knows keeps it from paying twice."""
    line.gateway.behave(allow_over_refund=True)
    order = line.paid(amount="25.00")
    case = line.ask("20.00", order=order)
    tick()
    refund = line.gateway.refund_in_the_dashboard(f"pi_{order}", 2500)
    line.news("refund.created", refund)

    tick()
    reread_due()
    line.work()

    assert line.refunds(case) == []
    action = Action.objects.get()
    assert (action.state, action.payment.reserved_minor, action.payment.refunded_minor) == (ActionState.FAILED, 0, 2500)
    assert not action.payment.overbooked
    assert Case.objects.get().state == CaseState.FAILED
    line.assert_sound()


def test_workers_that_send_at_once_send_each_once(committed_line: Line):
    actions = planned(committed_line, 20)

    def send_all() -> int:
        sent = 0
        while looked := sending.send_due(limit=3):
            sent += looked
        return sent

    shares = at_once(*[send_all] * 3)

    assert sum(shares) == 20
    assert sorted(posts(committed_line)) == sorted(str(action.key) for action in actions)
    assert len(committed_line.refunds()) == 20


def test_one_action_that_breaks_does_not_take_the_answers_of_others_along(line: Line):
    actions = planned(line, 3)
    other = Connection.objects.create(
        organization=line.organization, slug="fax", name="Fax", connector="no-such-protocol"
    )
    with pgtrigger.ignore("integrations.Action:intent_never_changed"):
        Action.objects.filter(pk=actions[1].pk).update(connection=other)

    sending.send_due()

    states = [fresh(action).state for action in actions]
    assert states == [ActionState.VERIFIED, ActionState.UNKNOWN, ActionState.VERIFIED]
    assert len(line.refunds()) == 2


def test_an_answer_is_recorded_when_it_comes_not_when_the_slowest_has_come(committed_line: Line):
    slow, quick = planned(committed_line, 2)
    recorded = threading.Event()

    class Dawdling(StripeGateway):
        def refund(self, *, payment, **details):
            if payment == slow.payment.reference:
                assert recorded.wait(20)
            return super().refund(payment=payment, **details)

    add_connector("dawdling", Dawdling)
    use(committed_line, "dawdling")

    def watch() -> None:
        wait_until(lambda: fresh(quick).state == ActionState.VERIFIED)
        recorded.set()

    assert at_once(sending.send_due, watch) == [2, None]

    assert fresh(slow).state == ActionState.VERIFIED


def test_a_call_is_not_begun_that_could_outlast_the_lease(line: Line):
    """A look-up, a repetition and a reading back of 25 seconds each would end after another worker took over."""
    [action] = planned(line)
    with time_machine.travel(clock.now(), tick=False) as traveller:

        class Crawling(StripeGateway):
            def refund(self, **details):
                receipt = super().refund(**details)
                traveller.shift(40)
                return receipt

        add_connector("crawling", Crawling)
        use(line, "crawling")
        sending.send_due()

        assert fresh(action).state == ActionState.SUCCEEDED
        assert not Call.objects.filter(operation="read refund").exists()
    use(line, "stripe")
    patiently(line, rounds=1)
    assert fresh(action).state == ActionState.VERIFIED


def test_every_call_is_logged_with_its_action(line: Line):
    [action] = planned(line)
    line.gateway.fault("500_after", method="POST", path=REFUNDS)

    sending.send_due()
    patiently(line, rounds=1)

    logged = list(Call.objects.filter(action=action).order_by("pk").values_list("operation", "status", "outcome"))
    assert logged == [
        ("refund", 500, "transient"),
        ("look up refund", 200, "ok"),
        ("read refund", 200, "ok"),
    ]
    assert not Call.objects.filter(message__contains=line.gateway.api_key).exists()


def test_nothing_is_due_that_is_done(line: Line):
    planned(line, 2)
    line.work()

    pass_time(timedelta(days=30))

    assert sending.send_due() == 0
