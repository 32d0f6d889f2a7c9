"""A worker whose host's clock is wrong: it holds runs by the database's clock, and gets and takes none too early."""

from datetime import timedelta

import pytest
import time_machine

from opsdesk.lib import clock
from tests.plugins.line import pass_time
from tests.workflows.conftest import Probe
from workflows.engine.outcomes import Done
from workflows.engine.repairing import sweep
from workflows.engine.running import LEASE, advance, claim
from workflows.models import Run
from workflows.states import CaseState, RunState

WRONG = [timedelta(minutes=10), timedelta(minutes=-10), timedelta(hours=-1)]
OUTSIDE = [{"key": "first", "kind": "scripted"}, {"key": "second", "kind": "scripted_outside"}]


def still_held() -> timedelta:
    """How much longer the one run is its worker's, by the clock that decides it."""
    lease = Run.objects.get(state=RunState.RUNNING).lease_until
    assert lease is not None
    return lease - clock.of_database()


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_lease_is_taken_renewed_and_swept_by_the_database_s_clock(probe: Probe, wrong: timedelta):
    probe.publish(steps=OUTSIDE)
    probe.runs(1)
    held: list[timedelta] = []

    def look(contexts):
        held.append(still_held())
        pass_time(timedelta(seconds=30))  # the time that asking takes
        held.append(still_held())

    probe.outside.fetches = look
    with time_machine.travel(clock.now() + wrong):
        mine = claim()
        assert [run.state for run in mine] == [RunState.RUNNING]
        pass_time(timedelta(seconds=40))
        held.append(still_held())
        assert (claim(), sweep()) == ([], 0)
        advance(mine)

    taken, renewed, nearly = held
    assert LEASE - timedelta(seconds=50) < taken < LEASE - timedelta(seconds=39)
    assert LEASE - timedelta(seconds=10) < renewed <= LEASE
    assert nearly < LEASE - timedelta(seconds=29)
    assert probe.states() == [(RunState.SUCCEEDED, CaseState.DONE)]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_clock_that_jumps_while_a_run_is_held_neither_ends_nor_extends_it(probe: Probe, wrong: timedelta):
    probe.runs(1)
    stale = claim()
    probe.second(lambda context: Done())

    with time_machine.travel(clock.now() + wrong):
        assert sweep() == 0
        pass_time(timedelta(seconds=59))
        assert sweep() == 0
        pass_time(timedelta(seconds=2))
        assert sweep() == 1
        advance(claim())
    advance(stale)

    assert probe.states() == [(RunState.SUCCEEDED, CaseState.DONE)]
    assert Run.objects.get().steps.count() == 2
