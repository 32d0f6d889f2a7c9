"""Who sends, and when nothing is sent: switches, several workers at once, leases, the log of calls."""

import threading
import time
from datetime import timedelta

import pgtrigger
import pytest

from integrations import sending
from integrations.connectors.stripe.connector import StripeGateway
from integrations.mirroring import reread_due
from integrations.models import Action, Call, Connection
from integrations.operations import add_connector
from integrations.states import ActionState
from tests.integrations.refunding import REFUNDS, fresh, patiently, planned, posts, use
from tests.plugins.line import Line, pass_time
from tests.plugins.sandbox import wait_until
from tests.races import at_once
from workflows.models import Case
from workflows.states import CaseState
from workflows.tasks import tick


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


def test_a_call_is_not_begun_that_could_outlast_the_lease(line: Line, monkeypatch: pytest.MonkeyPatch):
    """A look-up, a repetition and a reading back of 25 seconds each would end after another worker took over."""
    [action] = planned(line)

    class Crawling(StripeGateway):
        def refund(self, **details):
            receipt = super().refund(**details)
            monkeypatch.setattr(sending, "monotonic", lambda: time.monotonic() + 40)
            return receipt

    add_connector("crawling", Crawling)
    use(line, "crawling")
    sending.send_due()

    assert fresh(action).state == ActionState.SUCCEEDED
    assert not Call.objects.filter(operation="read refund").exists()
    monkeypatch.setattr(sending, "monotonic", time.monotonic)
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
