"""Claiming runs and moving them on: each run is one worker's, and goes through its steps once."""

from datetime import timedelta
from functools import partial

import pytest

from tests.plugins.line import pass_time
from tests.races import at_once
from tests.workflows.conftest import Probe
from tests.workflows.working import DONE, work
from workflows.engine.outcomes import Done, Finish, Wait
from workflows.engine.running import claim
from workflows.models import Run, StepRun
from workflows.states import CaseState, RunState, WaitsFor


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
