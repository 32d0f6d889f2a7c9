"""Steps that break: each breaks alone, and what kind of trouble it is decides what becomes of its run."""

from datetime import timedelta

import pytest

from tests.plugins.line import pass_time
from tests.workflows.conftest import Probe
from tests.workflows.working import DONE, FAILED, break_for, say_deadlock, trouble, work
from workflows.engine import failing
from workflows.engine.outcomes import Done
from workflows.engine.running import claim
from workflows.models import Failure, Run
from workflows.states import CaseState, FailureKind, FailureState, RunState, WaitsFor


def test_a_step_that_raises_parks_its_own_run_and_no_other(probe: Probe):
    runs = probe.runs(5)
    probe.second(break_for(runs[2].case_id))

    work()

    assert probe.states() == [DONE, DONE, FAILED, DONE, DONE]
    failure = Failure.objects.get()
    assert (failure.kind, failure.message) == (FailureKind.DEFECT, "ValueError: Nobody planned for this.")


def test_asking_outside_that_raises_parks_its_own_run_and_no_other(probe: Probe):
    runs = probe.runs(5)

    def fetch(contexts):
        if runs[1].case_id in {context.case.pk for context in contexts}:
            raise KeyError("no such connector")

    probe.outside.fetches = fetch

    work()

    assert probe.states() == [DONE, FAILED, DONE, DONE, DONE]


def test_a_batch_that_met_a_deadlock_is_gone_through_singly(probe: Probe):
    probe.runs(4)
    met = []

    def deadlock_once(context):
        if not met:
            met.append(context.case.pk)
            say_deadlock(context)
        return Done()

    probe.second(deadlock_once)

    work()

    assert met
    assert probe.states() == [DONE] * 4
    assert not Failure.objects.exists()


def test_a_run_that_meets_deadlocks_alone_is_tried_again_and_holds_up_nobody(probe: Probe):
    runs = probe.runs(4)

    def deadlock(context):
        if context.case.pk == runs[0].case_id:
            say_deadlock(context)
        return Done()

    probe.second(deadlock)

    work()

    assert probe.states() == [(RunState.WAITING, CaseState.OPEN), DONE, DONE, DONE]
    runs[0].refresh_from_db()
    assert (runs[0].waits_for, runs[0].attempt) == (WaitsFor.RETRY, 1)
    for _ in range(2):
        pass_time(timedelta(minutes=2))
        work()
    assert probe.states()[0] == FAILED


def test_transient_trouble_is_tried_three_times_and_then_shown(probe: Probe):
    [run] = probe.runs(1)
    probe.second(trouble(FailureKind.TRANSIENT))
    seen = []

    for _ in range(3):
        work()
        run.refresh_from_db()
        seen.append((run.state, run.attempt, run.waits_for))
        pass_time(timedelta(minutes=2))

    assert seen == [
        (RunState.WAITING, 1, WaitsFor.RETRY),
        (RunState.WAITING, 2, WaitsFor.RETRY),
        (RunState.FAILED, 3, ""),
    ]
    assert Failure.objects.get().kind == FailureKind.TRANSIENT


def test_an_outage_waits_as_long_as_it_takes(probe: Probe):
    [run] = probe.runs(1)
    probe.second(trouble(FailureKind.INFRASTRUCTURE, connection="gateway"))

    for _ in range(8):
        work()
        pass_time(timedelta(minutes=2))

    run.refresh_from_db()
    assert (run.state, run.waits_for, run.attempt) == (RunState.WAITING, WaitsFor.CONNECTION, 8)
    assert not Failure.objects.exists()
    probe.second(lambda context: Done())
    work()
    assert probe.states() == [DONE]


def test_an_outage_uses_up_no_tries(probe: Probe):
    [run] = probe.runs(1)
    probe.second(trouble(FailureKind.INFRASTRUCTURE))
    for _ in range(5):
        work()
        pass_time(timedelta(minutes=2))

    probe.second(trouble(FailureKind.TRANSIENT))
    work()

    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.WAITING, 1)


def test_the_longest_outage_does_not_overflow_the_count(probe: Probe):
    [run] = probe.runs(1)
    Run.objects.filter(pk=run.pk).update(attempt=32_767, waits_for=WaitsFor.CONNECTION)
    probe.second(trouble(FailureKind.INFRASTRUCTURE))
    probe.outside.scripts["first"] = trouble(FailureKind.INFRASTRUCTURE)

    work()

    run.refresh_from_db()
    assert (run.state, run.waits_for) == (RunState.WAITING, WaitsFor.CONNECTION)


def test_bad_data_is_shown_at_once(probe: Probe):
    probe.runs(1)
    probe.second(trouble(FailureKind.DATA, "The request has no amount."))

    work()

    assert probe.states() == [FAILED]
    assert Failure.objects.get().message == "The request has no amount."


def test_nothing_is_tried_earlier_than_the_other_side_asks(probe: Probe):
    [run] = probe.runs(1)
    probe.second(trouble(FailureKind.TRANSIENT, retry_after=timedelta(minutes=5)))
    work()

    pass_time(timedelta(minutes=4, seconds=50))
    assert claim() == []
    pass_time(timedelta(seconds=70))
    assert [found.pk for found in claim()] == [run.pk]


def test_pauses_grow_up_to_a_minute_and_are_spread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()  # what all other tests are given instead

    pauses = {attempt: [failing.pause_before(attempt) for _ in range(400)] for attempt in (1, 3, 20)}

    assert max(pauses[1]) <= timedelta(seconds=4)
    assert timedelta(seconds=8) < max(pauses[3]) <= timedelta(seconds=16)
    assert timedelta(seconds=50) < max(pauses[20]) <= timedelta(seconds=60)
    assert min(pauses[20]) < timedelta(seconds=10)
    told = [failing.pause_before(1, timedelta(minutes=9)) for _ in range(400)]
    assert timedelta(minutes=9) <= min(told) < max(told) <= timedelta(minutes=9, seconds=4)
    assert len(set(told)) > 300


def test_a_failure_that_comes_back_is_opened_again(probe: Probe):
    probe.second(trouble(FailureKind.DATA, "The request has no amount."))
    probe.runs(1)
    work()
    failure = Failure.objects.get()
    failure.move_to(FailureState.RESOLVED)

    probe.runs(1)
    work()

    failure.refresh_from_db()
    assert (failure.state, failure.items.count()) == (FailureState.OPEN, 2)
