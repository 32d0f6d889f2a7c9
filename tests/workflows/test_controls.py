"""What an owner does with a run: where each control fits, what it leaves behind, and that it beats the worker."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from auditlog.models import Entry
from opsdesk.lib import clock
from tests.factories import make_case
from tests.plugins.line import pass_time
from tests.races import round_by_round
from tests.workflows.conftest import Probe
from workflows import registry
from workflows.engine import controls
from workflows.engine.outcomes import Done, Wait
from workflows.engine.running import advance, claim
from workflows.errors import NotFitting, NotRepairable, StepFailed
from workflows.models import Decision, Failure, Run, StepRun
from workflows.states import CaseState, FailureKind, FailureState, RunState, Tier, WaitsFor

STATES = ("ready", "running", "review", "retry", "action", "paused", "failed", "succeeded", "canceled")
# Where each control fits; everywhere else it is refused.
FITS = {
    "pause": "ready running review retry action",
    "resume": "paused",
    "retry": "retry failed",
    "skip": "ready review retry paused failed",
    "restart": "ready running review retry paused failed",
    "cancel": "ready running review retry paused failed",
    "prioritize": "ready running review retry action paused failed",
}
PARAMETERS = {"skip": {"step": "first"}, "prioritize": {"priority": 10}}
VERBS = {
    "pause": ["paused"], "resume": ["resumed"], "skip": ["skipped"], "restart": ["restarted"],
    "cancel": ["canceled"], "prioritize": ["prioritized"], "retry": ["hurried", "repaired"],
}  # fmt: skip


def use(control: str, run: Run, probe: Probe) -> Run:
    """What its button does."""
    function: Callable[..., Run] = getattr(controls, control)
    return function(run.pk, by=probe.ada, reason="Because of the fair.", **PARAMETERS.get(control, {}))


def standing(probe: Probe, state: str) -> Run:
    """A run in a state that the engine itself brought about."""
    [run] = probe.runs(1)
    script = {
        "review": lambda context: Wait(WaitsFor.REVIEW, "Waits for Ada."),
        "retry": lambda context: Wait(WaitsFor.RETRY, "Not yet.", until=context.now + timedelta(hours=1)),
        "action": lambda context: Wait(WaitsFor.ACTION, "Is being sent."),
        "failed": fails,
    }
    if state in script:
        probe.outside.scripts["first"] = script[state]
    if state == "paused":
        controls.pause(run.pk, by=probe.ada, reason="First.")
    elif state == "running":
        claim()
    elif state == "canceled":
        controls.cancel(run.pk, by=probe.ada, reason="First.")
    elif state != "ready":
        advance(claim())
    probe.outside.scripts.clear()
    run.refresh_from_db()
    return run


def fails(context):
    raise StepFailed(FailureKind.DATA, "The request has no amount.")


def newest_verbs(run: Run, since: int) -> list[str]:
    found = Entry.objects.filter(pk__gt=since, subject_kind="run", subject_id=run.pk)
    return [entry.verb.removeprefix("workflows.run.") for entry in found.order_by("pk")]


def last_entry() -> int:
    return Entry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("control", FITS)
def test_a_control_works_where_it_fits_and_is_refused_everywhere_else(probe: Probe, control, state):
    run, since = standing(probe, state), last_entry()
    before = Run.objects.filter(pk=run.pk).values().get()

    if state in FITS[control].split():
        use(control, run, probe)
        [verb] = newest_verbs(run, since)
        assert verb in VERBS[control]
        entry = Entry.objects.get(pk__gt=since, verb=f"workflows.run.{verb}")
        assert (entry.user, entry.reason) == (probe.ada, "Because of the fair.")
    else:
        with pytest.raises((NotFitting, NotRepairable)):
            use(control, run, probe)
        assert Run.objects.filter(pk=run.pk).values().get() == before
        assert newest_verbs(run, since) == []


# Pause and resume.


def test_a_paused_run_is_claimed_by_nobody_until_it_is_resumed(probe: Probe):
    run = standing(probe, "paused")
    assert (run.state, run.paused_why) == (RunState.READY, "Ada: First.")
    assert run.case.standing == "Paused by Ada: First."
    pass_time(timedelta(days=3))
    assert claim() == []

    controls.resume(run.pk, by=probe.ada, reason="The fair is over.")
    advance(claim())

    run.refresh_from_db()
    assert (run.state, run.paused_at, run.paused_why) == (RunState.SUCCEEDED, None, "")


def test_what_a_paused_run_waited_for_may_come_and_it_stays_paused(probe: Probe):
    from workflows.engine.repairing import resume

    run = standing(probe, "review")
    controls.pause(run.pk, by=probe.ada, reason="Wait.")

    with transaction.atomic():
        assert resume(run.pk)

    assert claim() == []
    controls.resume(run.pk, by=probe.ada, reason="Go.")
    assert [found.pk for found in claim()] == [run.pk]


def test_a_worker_whose_run_is_paused_writes_nothing(probe: Probe):
    [run] = probe.runs(1)
    claimed = claim()

    controls.pause(run.pk, by=probe.ada, reason="Stop.")
    advance(claimed)

    run.refresh_from_db()
    assert (run.state, run.position) == (RunState.READY, 0)
    assert not StepRun.objects.exists()


def test_an_ended_run_cannot_be_marked_as_paused_around_the_controls(probe: Probe):
    run = standing(probe, "succeeded")

    with pytest.raises(IntegrityError, match="workflows_run_paused_at_rest_with_reason"), transaction.atomic():
        Run.objects.filter(pk=run.pk).update(paused_at=clock.now(), paused_why="Somehow.")
    with pytest.raises(IntegrityError, match="workflows_run_paused_at_rest_with_reason"), transaction.atomic():
        Run.objects.filter(pk=standing(probe, "ready").pk).update(paused_at=clock.now())


# Retry.


def test_a_run_that_waits_for_its_next_try_is_tried_at_once(probe: Probe):
    run = standing(probe, "retry")
    assert claim() == []

    controls.retry(run.pk, by=probe.ada, reason="It is back.")

    assert [found.pk for found in claim()] == [run.pk]


def test_a_paused_run_is_not_hurried(probe: Probe):
    run = standing(probe, "retry")
    controls.pause(run.pk, by=probe.ada, reason="Stop.")

    with pytest.raises(NotFitting, match="paused"):
        controls.retry(run.pk, by=probe.ada, reason="Now.")


# Skip.


def test_a_skipped_step_is_left_out_and_the_next_one_follows(probe: Probe):
    run = standing(probe, "failed")
    assert Failure.objects.get().state == FailureState.OPEN

    controls.skip(run.pk, step="first", by=probe.ada, reason="The shop is closed.")
    advance(claim())

    run.refresh_from_db()
    assert (run.state, run.case.state) == (RunState.SUCCEEDED, CaseState.DONE)
    outcomes = list(StepRun.objects.values_list("key", "outcome", "note"))
    assert outcomes[1:] == [("first", "skipped", "Ada: The shop is closed."), ("second", "done", "Did second.")]
    assert Failure.objects.get().state == FailureState.RESOLVED
    assert run.skipped == [{"step": "first", "by": "Ada", "reason": "The shop is closed."}]


def test_skipping_the_last_step_ends_the_run(probe: Probe):
    probe.second(fails)
    [run] = probe.runs(1)
    advance(claim())

    controls.skip(run.pk, step="second", by=probe.ada, reason="Told by phone.")
    advance(claim())

    run.refresh_from_db()
    assert (run.state, run.case.state) == (RunState.SUCCEEDED, CaseState.DONE)
    assert StepRun.objects.filter(key="second").count() == 2  # failed, skipped: not tried once more


def test_a_step_is_not_skipped_when_the_run_has_moved_on(probe: Probe):
    probe.second(lambda context: Wait(WaitsFor.REVIEW, "Waits for Ada."))
    [run] = probe.runs(1)
    advance(claim())

    with pytest.raises(NotFitting, match="second by now, not at first"):
        controls.skip(run.pk, step="first", by=probe.ada, reason="Too late.")


@pytest.mark.parametrize("kind", ["approve", "decide"])
def test_nobody_skips_consent(probe: Probe, monkeypatch, kind):
    from workflows.engine import definitions

    run = standing(probe, "failed")
    monkeypatch.setitem(registry.step_kinds, kind, probe.outside)
    definition = definitions.definition_of(run.version_id)
    step = definitions.StepDefinition(0, "first", kind, {})
    changed = definitions.Definition(definition.name, definition.workflow, (step, *definition.steps[1:]))
    monkeypatch.setattr("workflows.engine.fitting.definition_of", lambda version_id: changed)

    with pytest.raises(NotFitting, match="never skipped: consent"):
        controls.skip(run.pk, step="first", by=probe.ada, reason="Hurry.")


def test_nobody_skips_a_step_that_moves_money(probe: Probe):
    run = standing(probe, "failed")
    probe.outside.moves_money = True

    with pytest.raises(NotFitting, match="moves money"):
        controls.skip(run.pk, step="first", by=probe.ada, reason="Hurry.")

    run.refresh_from_db()
    assert (run.state, run.position, run.skipped) == (RunState.FAILED, 0, [])


def test_a_decision_after_a_skipped_step_says_so_and_asks_for_people(probe: Probe, monkeypatch):
    from workflows.steps.decide import Decide

    decide = Decide()
    probe.second(decide.perform)
    run = standing(probe, "failed")

    controls.skip(run.pk, step="first", by=probe.ada, reason="The shop is closed.")
    advance(claim())

    decision = Decision.objects.get(run=run)
    assert decision.tier == Tier.FULL_REVIEW
    words = "Ada skipped the step first (The shop is closed.)"
    assert words in [each["words"] for each in decision.trace if each["source"] == "controls"]
    assert words in decision.sentence


# Restart.


def test_a_restarted_run_begins_with_its_first_step_and_knows_nothing(probe: Probe):
    probe.second(lambda context: Wait(WaitsFor.REVIEW, "Waits for Ada."))
    [run] = probe.runs(1)
    advance(claim())
    Run.objects.filter(pk=run.pk).update(facts={"amount": {"value": 1}}, skipped=[{"step": "x"}])

    controls.restart(run.pk, by=probe.ada, reason="The shop was wrong.")

    run.refresh_from_db()
    assert (run.state, run.position, run.facts, run.skipped) == (RunState.READY, 0, {}, [])


def test_consent_is_asked_anew_after_a_restart(probe: Probe, monkeypatch):
    told = []
    monkeypatch.setattr(registry, "withdrawals", [lambda case, reason: told.append((case.pk, reason))])
    run = standing(probe, "review")

    controls.restart(run.pk, by=probe.ada, reason="The shop was wrong.")

    assert told == [(run.case_id, "Ada restarted the run")]


@pytest.mark.parametrize("control", ["restart", "cancel"])
def test_what_was_done_outside_and_stands_is_not_started_over_or_dropped(probe: Probe, monkeypatch, control):
    run = standing(probe, "failed")
    monkeypatch.setattr(registry, "standing_effects", [{run.case_id}.intersection])

    with pytest.raises(NotFitting, match="stands"):
        use(control, run, probe)

    run.refresh_from_db()
    assert (run.state, run.case.state) == (RunState.FAILED, CaseState.FAILED)


# Cancel and priority.


def test_canceling_closes_the_case_with_its_reason(probe: Probe):
    run = standing(probe, "paused")

    controls.cancel(run.pk, by=probe.ada, reason="Asked twice.")

    run.refresh_from_db()
    assert (run.state, run.case.state, run.paused_at) == (RunState.CANCELED, CaseState.CANCELED, None)
    assert run.case.standing == "Canceled by Ada: Asked twice."
    assert Entry.objects.filter(verb="workflows.case.withdrawn", case_id=run.case_id).count() == 1


def test_a_raised_run_is_taken_first(probe: Probe):
    first, second = (probe.run(make_case(probe.organization)) for _ in range(2))

    controls.prioritize(second.pk, priority=10, by=probe.ada, reason="The customer waits at the counter.")

    assert [run.pk for run in claim(limit=1)] == [second.pk]
    with pytest.raises(NotFitting, match="no such priority"):
        controls.prioritize(first.pk, priority=11, by=probe.ada, reason="Bit more.")
    with pytest.raises(NotFitting, match="urgent already"):
        controls.prioritize(second.pk, priority=10, by=probe.ada, reason="Again.")


# Races: a person and the worker at the same moment. Either the worker was done before, or it wrote nothing.


@pytest.mark.parametrize(("control", "left"), [("pause", RunState.READY), ("cancel", RunState.CANCELED)])
def test_a_control_and_the_worker_at_once(committed_probe: Probe, control, left):
    probe, rounds = committed_probe, 15
    runs = {run.pk: run for run in probe.runs(rounds)}
    claimed = claim(limit=rounds)
    probe.second(lambda context: Done())

    results = round_by_round(
        [lambda number: use(control, claimed[number], probe), lambda number: advance([claimed[number]])], rounds
    )

    for number, (person, _) in enumerate(results):
        run = Run.objects.get(pk=claimed[number].pk)
        steps = run.steps.count()
        if isinstance(person, NotFitting):
            assert (run.state, steps) == (RunState.SUCCEEDED, 2)
        else:
            assert (run.state, steps) == (left, 0), person
    assert len(runs) == rounds


def test_two_people_at_once_leave_a_step_out_once(committed_probe: Probe):
    probe, rounds = committed_probe, 10
    probe.outside.scripts["first"] = fails
    runs = probe.runs(rounds)
    advance(claim(limit=rounds))

    results = round_by_round([lambda number: use("skip", runs[number], probe)] * 2, rounds)

    assert all(sum(isinstance(each, NotFitting) for each in pair) == 1 for pair in results), results
    assert set(Run.objects.values_list("position", flat=True)) == {1}
    assert StepRun.objects.filter(outcome="skipped").count() == rounds
