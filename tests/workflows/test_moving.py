"""Moving runs to the version in force: who keeps the place, who begins again, who stays where it is."""

import pytest
from django.urls import reverse

from auditlog.models import Entry
from opsdesk.lib import errands
from tests.plugins.pages import MOST_STATEMENTS, cost, text_of
from tests.workflows.conftest import PACK, Probe
from tests.workflows.test_controls import standing
from workflows import registry
from workflows.bulk import carrying
from workflows.engine import controls, moving
from workflows.engine.opening import new_run
from workflows.engine.outcomes import Wait
from workflows.engine.running import advance, claim
from workflows.errors import NotFitting
from workflows.models import Bulk, Case, Failure, Run, WorkflowVersion
from workflows.states import CaseState, FailureState, RunState, VersionState, WaitsFor

FIRST, SECOND = PACK["steps"]
THIRD = {"key": "third", "kind": "scripted"}
LONGER = {"steps": [FIRST, SECOND, THIRD]}
# Statements that read what two versions hold, to say how they differ.
OF_TWO_VERSIONS = 4
OTHERWISE = {"steps": [THIRD, FIRST, SECOND]}


@pytest.fixture(autouse=True)
def idle_jobs(monkeypatch) -> None:
    """No job runs by itself."""
    monkeypatch.setattr(errands, "push", lambda name, job, key: None)


def waiting(probe: Probe, **fields) -> Run:
    """A run that waits for a person at the second step, whose facts the first one brought."""
    probe.second(lambda context: Wait(WaitsFor.REVIEW, "Waits for Ada."))
    [run] = probe.runs(1, **fields)
    Run.objects.filter(pk=run.pk).update(facts={"amount": {"value": 1}})
    advance(claim())
    probe.inside.scripts.clear()
    run.refresh_from_db()
    assert (run.waits_for, run.position) == ("review", 1)
    return run


def move(run: Run, probe: Probe, version: WorkflowVersion | None = None) -> bool:
    target = version or probe.version
    return moving.move(run.pk, version=target.pk, by=probe.ada, reason="The new version is better.")


def test_a_run_keeps_its_place_where_all_up_to_it_is_the_same(probe: Probe):
    run = waiting(probe)
    old = probe.version
    probe.publish(**LONGER)

    assert move(run, probe) is True

    run.refresh_from_db()
    assert (run.version, run.state, run.waits_for, run.position) == (probe.version, "waiting", "review", 1)
    assert run.facts == {"amount": {"value": 1}}
    entry = Entry.objects.get(verb="workflows.run.moved")
    assert (entry.before["version"], entry.after["version"]) == (str(old), str(probe.version))
    assert (entry.user, entry.reason, entry.case_id) == (probe.ada, "The new version is better.", run.case_id)
    Run.objects.filter(pk=run.pk).update(wake_at=run.started_at)
    advance(claim())
    assert list(run.steps.values_list("key", flat=True)) == ["first", "second", "second", "third"]
    assert probe.states() == [(RunState.SUCCEEDED, CaseState.DONE)]


@pytest.mark.parametrize(
    "changes",
    [
        OTHERWISE,
        {"steps": [FIRST, {**SECOND, "config": {"team": "payments"}}]},
        {"steps": [{**FIRST, "kind": "scripted"}, SECOND]},
        {"steps": [FIRST]},
    ],
)
def test_a_run_begins_again_where_something_up_to_its_step_differs(probe: Probe, monkeypatch, changes):
    told: list[str] = []
    monkeypatch.setattr(registry, "withdrawals", [lambda case, reason: told.append(reason)])
    run = waiting(probe)
    probe.publish(**changes)

    assert move(run, probe) is False

    run.refresh_from_db()
    assert (run.version, run.state, run.position, run.facts) == (probe.version, "ready", 0, {})
    assert told == [f"{probe.ada} moved the run to {probe.version}"]
    advance(claim())
    assert probe.states() == [(RunState.SUCCEEDED, CaseState.DONE)]


def test_a_stopped_run_whose_step_was_changed_is_tried_in_the_new_version(probe: Probe):
    run = standing(probe, "failed")
    probe.publish(steps=[{**FIRST, "config": {"corrected": True}}, SECOND])

    move(run, probe)
    advance(claim())

    assert probe.states() == [(RunState.SUCCEEDED, CaseState.DONE)]
    assert Failure.objects.get().state == FailureState.RESOLVED


def test_a_stopped_run_whose_steps_are_the_same_stays_stopped(probe: Probe):
    run = standing(probe, "failed")
    probe.publish(**LONGER)

    assert move(run, probe) is True

    assert probe.states() == [(RunState.FAILED, CaseState.FAILED)]
    assert Failure.objects.get().state == FailureState.OPEN


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        ("running", "A worker is at it at this moment"),
        ("action", "under way"),
        ("succeeded", "It has ended: succeeded"),
        ("canceled", "It has ended: canceled"),
    ],
)
def test_a_run_that_is_under_way_or_has_ended_stays(probe: Probe, state, refusal):
    run = standing(probe, state)
    probe.publish(**LONGER)

    with pytest.raises(NotFitting, match=refusal):
        move(run, probe)

    run.refresh_from_db()
    assert run.version != probe.version
    assert not Entry.objects.filter(verb="workflows.run.moved").exists()


def test_what_stands_outside_is_not_begun_again_but_may_keep_its_place(probe: Probe, monkeypatch):
    run = waiting(probe)
    monkeypatch.setattr(registry, "standing_effects", [{run.case_id}.intersection])
    probe.publish(**OTHERWISE)

    with pytest.raises(NotFitting, match="stands, or may"):
        move(run, probe)
    probe.publish(**LONGER)

    assert move(run, probe) is True


def test_only_a_version_in_force_of_its_own_workflow_is_followed(probe: Probe):
    run = waiting(probe)
    old = probe.version
    with pytest.raises(NotFitting, match="already"):
        move(run, probe)
    probe.publish(**LONGER)
    retired = probe.version
    probe.publish(fields={**PACK["fields"], "party": "customer"})
    with pytest.raises(NotFitting, match="reads requests in another way"):
        move(run, probe)
    with pytest.raises(NotFitting, match="not in force"):
        move(run, probe, retired)
    probe.publish(slug="other", name="Other", case_kind="other", opened_by="other.requested", withdrawn_by="")
    with pytest.raises(NotFitting, match="another workflow"):
        move(run, probe)

    run.refresh_from_db()
    assert run.version == old


def test_the_priority_follows_unless_a_person_chose_it(probe: Probe):
    run, chosen = waiting(probe), waiting(probe)
    controls.prioritize(chosen.pk, priority=10, by=probe.ada, reason="At the counter.")
    probe.publish(priority=30, **LONGER)

    move(run, probe)
    move(chosen, probe)

    assert list(Run.objects.order_by("pk").values_list("priority", flat=True)) == [30, 10]


def test_whoever_waits_for_a_turn_goes_on_where_the_version_asks_for_none(probe: Probe):
    fields = {**PACK["fields"], "party": "customer"}
    probe.publish(concurrency=["party"], fields=fields)
    first = waiting(probe, party="17548")
    Run.objects.filter(pk=first.pk).update(concurrency_key='["17548"]', in_turn=True)
    case = probe.runs(1, party="17548")[0].case
    Run.objects.filter(case=case).delete()
    second = new_run(probe.version, case)
    second.save()
    advance(claim())
    second.refresh_from_db()
    assert second.waits_for == WaitsFor.TURN
    probe.publish(fields=fields, **LONGER)

    assert move(second, probe) is True
    advance(claim())

    second.refresh_from_db()
    assert (second.state, second.concurrency_key) == (RunState.SUCCEEDED, "")


# In bulk.


def begun(client, runs) -> Bulk:
    data = {"kind": "runs.move", "chosen": "ticked", "ticked": [run.pk for run in runs]}
    response = client.post(reverse("workflows:begin_bulk"), data)
    assert response.status_code == 302
    return Bulk.objects.get()


def test_the_preview_says_what_differs_and_who_keeps_the_place(probe: Probe, sign_in):
    runs = [standing(probe, "succeeded"), waiting(probe), waiting(probe), standing(probe, "ready")]
    old = probe.version
    probe.publish(steps=[FIRST, THIRD, SECOND])
    client = sign_in(probe.ada)

    bulk = begun(client, runs)
    text = text_of(client.get(reverse("workflows:bulk", args=[bulk.pk])))

    assert f"From {old} to {probe.version}: Step “third” (scripted) was added after “first”" in text
    assert "3 would be done." in text
    assert "2 Begins again with the first step; consent is asked anew." in text
    assert "1 Keeps its place: all is the same up to the step first." in text
    assert "1 It has ended: succeeded." in text
    assert {run.version_id for run in Run.objects.all()} == {old.pk}

    client.post(reverse("workflows:start_bulk", args=[bulk.pk]), {"reason": "Better.", "version": probe.version.pk})
    carrying.carry_on(bulk.pk)

    assert list(bulk.items.order_by("pk").values_list("result", "sentence")) == [
        ("refused", "It has ended: succeeded."),
        ("done", "Moved; it begins again with the first step."),
        ("done", "Moved; it begins again with the first step."),
        ("done", "Moved; it keeps its place."),
    ]


def test_a_version_published_after_the_preview_is_not_moved_to(probe: Probe, sign_in):
    """What was looked at is what is done: the version that was named has been retired meanwhile."""
    run = waiting(probe)
    probe.publish(**LONGER)
    client = sign_in(probe.ada)
    bulk = begun(client, [run])
    named = probe.version
    client.post(reverse("workflows:start_bulk", args=[bulk.pk]), {"reason": "Better.", "version": named.pk})
    probe.publish(**OTHERWISE)

    carrying.carry_on(bulk.pk)

    assert list(bulk.items.values_list("result", "sentence")) == [("refused", "That version is not in force.")]
    assert WorkflowVersion.objects.get(pk=named.pk).state == VersionState.RETIRED


def test_the_preview_costs_the_same_with_many_runs(probe: Probe, sign_in):
    runs = [waiting(probe) for _ in range(12)]
    probe.publish(**LONGER)
    client = sign_in(probe.ada)
    few = begun(client, runs[:2])
    little = cost(client, reverse("workflows:bulk", args=[few.pk]))
    few.items.all().delete()
    few.delete()
    many = begun(client, runs)

    assert cost(client, reverse("workflows:bulk", args=[many.pk])) == little <= MOST_STATEMENTS + OF_TWO_VERSIONS
    assert Case.objects.count() == 12
