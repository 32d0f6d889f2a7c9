"""Leases: whose worker is gone is given back, and what takes its workers along is held for a person."""

from datetime import timedelta

from tests.plugins.line import pass_time
from tests.workflows.conftest import Probe
from tests.workflows.working import DONE, FAILED, work
from workflows.engine.outcomes import Wait
from workflows.engine.repairing import sweep
from workflows.engine.running import advance, claim
from workflows.models import Failure, Run, StepRun
from workflows.states import CaseState, FailureKind, RunState, WaitsFor


def test_a_worker_whose_lease_expired_writes_nothing(probe: Probe):
    probe.runs(1)
    stale = claim()
    pass_time(timedelta(seconds=61))
    assert sweep() == 1

    advance(stale)

    assert not StepRun.objects.exists()
    assert probe.states() == [(RunState.READY, CaseState.OPEN)]


def test_a_returned_run_is_finished_by_the_next_worker_and_only_by_it(probe: Probe):
    probe.runs(1)
    stale = claim()
    pass_time(timedelta(seconds=61))
    sweep()
    fresh = claim()

    advance(stale)
    advance(fresh)

    assert probe.states() == [DONE]
    assert StepRun.objects.count() == 2


def test_a_lease_that_still_runs_is_left_alone(probe: Probe):
    probe.runs(1)
    claim()

    assert sweep() == 0
    assert probe.states() == [(RunState.RUNNING, CaseState.OPEN)]


def lose_lease():
    claim()
    pass_time(timedelta(seconds=61))
    sweep()


def test_three_lost_leases_park_the_run_for_a_person(probe: Probe):
    [run, other] = probe.runs(2)
    Run.objects.filter(pk=other.pk).update(wake_at=None, state=RunState.WAITING, waits_for="retry", reason="Later.")

    for _ in range(3):
        lose_lease()

    run.refresh_from_db()
    assert (run.state, run.lost_leases) == (RunState.FAILED, 3)
    assert probe.states()[0] == FAILED
    failure = Failure.objects.get()
    assert (failure.kind, failure.step) == (FailureKind.DEFECT, "first")
    assert claim() == []


def test_a_run_that_lost_its_worker_is_taken_alone(probe: Probe):
    runs = probe.runs(4)
    Run.objects.filter(pk__in=[run.pk for run in runs[1:3]]).update(lost_leases=1)

    taken = [[run.pk for run in claim()] for _ in range(5)]

    assert taken == [[run.pk] for run in runs] + [[]]


def test_poison_takes_nobody_along(probe: Probe):
    runs = probe.runs(10)
    poison = runs[4].pk

    def work_until_it_dies():
        """Every worker that holds the poison dies of it, with all that it has claimed."""
        while held := claim():
            if poison in [run.pk for run in held]:
                return
            advance(held)

    for _ in range(3):
        work_until_it_dies()
        pass_time(timedelta(seconds=61))
        sweep()

    work()
    assert [run.pk for run in Run.objects.filter(state=RunState.FAILED)] == [poison]
    assert probe.states().count(DONE) == 9


def test_a_run_that_moved_on_between_is_not_held_for_poison(probe: Probe):
    [run] = probe.runs(1)
    lose_lease()
    lose_lease()
    probe.second(lambda context: Wait(WaitsFor.RETRY, "Not yet.", until=context.now))

    advance(claim())
    lose_lease()

    run.refresh_from_db()
    assert (run.state, run.lost_leases) == (RunState.READY, 1)
