"""A sender whose host's clock is wrong: what it sends is its own for the time of a lease, and is sent once."""

from datetime import timedelta

import pytest
import time_machine

from approvals.models import Review
from integrations import claiming, sending
from integrations.models import Reconciliation
from integrations.reconciliation import asking, running
from integrations.states import ActionState, ReconciliationState
from integrations.tasks import deliver_notices
from opsdesk.lib import clock
from tests.integrations.refunding import REFUNDS, planned, use
from tests.plugins.line import Line, pass_time

WRONG = [timedelta(minutes=10), timedelta(minutes=-10), timedelta(hours=-1)]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_is_being_sent_is_held_by_the_database_s_clock(line: Line, wrong: timedelta):
    [action] = planned(line)
    with time_machine.travel(clock.now() + wrong):
        [claimed] = claiming.claim(20).actions
    pass_time(timedelta(seconds=59))
    assert claiming.claim(20).actions == []
    pass_time(timedelta(seconds=2))

    line.work()  # its worker is gone: somebody else looks what came of it

    action.refresh_from_db()
    assert (action.state, action.epoch) == (ActionState.VERIFIED, claimed.epoch + 1)
    assert len(line.refunds()) == 1


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_clock_leaves_the_whole_time_for_a_try(line: Line, wrong: timedelta):
    [action] = planned(line)

    with time_machine.travel(clock.now() + wrong):
        sending.send_due()

    action.refresh_from_db()
    assert action.state == ActionState.VERIFIED  # sent and read back under one lease
    assert len(line.refunds()) == 1


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_was_sent_a_moment_ago_is_not_taken_for_long_ago(line: Line, wrong: timedelta):
    """Without keys, that it is not shown yet says nothing for five minutes, whatever the sender's host thought."""
    use(line, "keyless")
    [action] = planned(line)
    line.gateway.fault("lost_before", method="POST", path=REFUNDS)
    with time_machine.travel(clock.now() + wrong):
        sending.send_due()
        action.refresh_from_db()
        assert action.state == ActionState.UNKNOWN
        assert action.due_at is not None
        assert timedelta(0) < action.due_at - clock.of_database() <= timedelta(minutes=1)

    line.let_pass(minutes=4)
    action.refresh_from_db()
    assert action.state == ActionState.UNKNOWN
    line.let_pass(minutes=5)

    action.refresh_from_db()
    assert action.state == ActionState.FAILED
    assert line.refunds() == []


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_comparison_is_held_by_the_database_s_clock(line: Line, wrong: timedelta):
    asking.ask(line.connection.pk, by=line.cast.tomasz)

    with time_machine.travel(clock.now() + wrong):
        assert running._claim() is not None
        assert running._claim() is None

    row = Reconciliation.objects.get(state=ReconciliationState.RUNNING)
    assert row.lease_until is not None
    assert timedelta(0) < row.lease_until - clock.of_database() <= running.LEASE


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_an_objection_window_is_neither_shortened_nor_stretched(line: Line, wrong: timedelta):
    line.ask("80.00")
    line.work()
    with time_machine.travel(clock.now() + wrong):
        deliver_notices()
    line.work()

    review = Review.objects.get()
    assert review.objection_ends_at is not None
    left = review.objection_ends_at - clock.of_database()
    assert timedelta(0) < timedelta(minutes=review.settings.objection_minutes) - left < timedelta(minutes=1)
