"""Claiming runs and moving them on: nobody works on another's run, and one that breaks breaks alone."""

from datetime import timedelta
from functools import partial

import pytest
from django.db import connection

from tests.plugins.line import pass_time
from tests.races import at_once
from tests.workflows.conftest import Probe
from workflows.engine import failing
from workflows.engine.outcomes import Done, Finish, Wait
from workflows.engine.repairing import sweep
from workflows.engine.running import advance, claim
from workflows.errors import StepFailed
from workflows.models import Failure, Run, StepRun
from workflows.states import CaseState, FailureKind, FailureState, RunState, WaitsFor

DONE = (RunState.SUCCEEDED, CaseState.DONE)
FAILED = (RunState.FAILED, CaseState.FAILED)


def work() -> None:
    """What a worker does when it is told to look."""
    while runs := claim():
        advance(runs)


def break_for(*broken):
    """A script that raises for some cases and is done with the others."""

    def script(context):
        if context.case.pk in broken:
            raise ValueError("Nobody planned for this.")
        return Done()

    return script


def say_deadlock(context):
    """What PostgreSQL says to the victim of a deadlock."""
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$")


def trouble(kind, message="The gateway stumbles.", **more):
    def script(context):
        raise StepFailed(kind, message, **more)

    return script


def test_a_run_goes_through_its_steps_and_closes_its_case(probe: Probe):
    probe.runs(1)

    work()

    assert probe.states() == [DONE]
    assert list(StepRun.objects.values_list("key", "outcome")) == [("first", "done"), ("second", "done")]


def test_two_workers_never_claim_the_same_run(committed_probe: Probe):
    committed_probe.runs(60)

    def claim_all():
        found = []
        while runs := claim(limit=3):
            found += [run.pk for run in runs]
        return found

    claimed = [pk for share in at_once(*[claim_all] * 4) for pk in share]

    assert len(claimed) == 60
    assert set(claimed) == set(Run.objects.values_list("pk", flat=True))
    assert set(Run.objects.values_list("epoch", flat=True)) == {1}


def test_claiming_passes_by_what_another_transaction_holds(committed_probe: Probe):
    held, free = committed_probe.runs(2)

    from django.db import transaction

    with transaction.atomic():
        Run.objects.select_for_update().get(pk=held.pk)
        [found] = at_once(claim)

    assert [run.pk for run in found] == [free.pk]


def test_the_most_urgent_run_comes_first(probe: Probe):
    late, urgent = probe.runs(2)
    Run.objects.filter(pk=urgent.pk).update(priority=10)

    assert [run.pk for run in claim(limit=1)] == [urgent.pk]
    assert [run.pk for run in claim(limit=1)] == [late.pk]


@pytest.mark.parametrize("switch", ["workflow", "organization"])
def test_nothing_is_claimed_behind_a_kill_switch(probe: Probe, switch):
    probe.runs(1)
    if switch == "workflow":
        probe.version.workflow.enabled = False
        probe.version.workflow.save(update_fields=["enabled"])
    else:
        probe.organization.acting_enabled = False
        probe.organization.save(update_fields=["acting_enabled"])

    assert claim() == []


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


def test_a_run_that_waits_says_for_what_and_wakes_when_it_is_time(probe: Probe):
    [run] = probe.runs(1)
    probe.second(lambda context: Wait(WaitsFor.CONNECTION, "Switched off.", until=context.now + timedelta(minutes=1)))
    work()
    run.refresh_from_db()
    assert (run.state, run.reason, run.case.standing) == (RunState.WAITING, "Switched off.", "Switched off.")
    since = run.waiting_since

    pass_time(timedelta(minutes=2))
    work()

    run.refresh_from_db()
    assert run.waiting_since == since - timedelta(minutes=2)


def test_a_step_may_end_the_case_before_the_last_one(probe: Probe):
    probe.runs(1)
    probe.outside.scripts["first"] = lambda context: Finish(CaseState.REJECTED, "Rejected by Ada.")

    work()

    assert probe.states() == [(RunState.SUCCEEDED, CaseState.REJECTED)]
    assert [step.key for step in StepRun.objects.all()] == ["first"]


def test_what_was_fetched_is_for_its_own_run(probe: Probe):
    probe.runs(12)
    seen = {}

    def fetch(contexts):
        for context in contexts:
            context.fetched = context.case.pk

    probe.outside.fetches = fetch

    def keep(context):
        seen[context.case.pk] = context.fetched
        return Done()

    probe.outside.scripts["first"] = keep
    work()

    assert len(seen) == 12
    assert all(case == fetched for case, fetched in seen.items())


def test_two_workers_at_a_full_desk_finish_every_run_once(committed_probe: Probe):
    committed_probe.runs(80)

    at_once(*[partial(work)] * 3)

    assert set(committed_probe.states()) == {DONE}
    assert StepRun.objects.count() == 160


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
