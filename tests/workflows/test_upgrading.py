"""Old code beside new: what a worker does not know it leaves alone, says why, and newer workers go on with it."""

from datetime import timedelta

import pytest

from opsdesk.lib import clock
from tests import factories
from tests.plugins.pages import text_of
from workflows import registry
from workflows.engine import intake, running
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done
from workflows.models import Event, Failure, Run, StepRun
from workflows.states import CaseState, EventState, RunState, WaitsFor


def work() -> None:
    running.advance(running.claim())


def forgets(monkeypatch, kind: str) -> object:
    """The kind as a newer worker knows it; this one does not any more."""
    known = registry.step_kinds[kind]
    monkeypatch.delitem(registry.step_kinds, kind)
    return known


@pytest.mark.parametrize(
    ("kind", "done"), [("scripted_outside", []), ("scripted", ["first"])], ids=["first step", "second step"]
)
def test_a_run_at_a_step_of_a_newer_release_waits_and_says_why(probe, monkeypatch, kind, done):
    run = probe.run(factories.make_case(probe.organization))
    known = forgets(monkeypatch, kind)

    work()

    run.refresh_from_db()
    assert (run.state, run.waits_for) == (RunState.WAITING, WaitsFor.UPGRADE)
    assert f"Waits for a worker that knows the step kind “{kind}”" in run.reason
    assert run.case.state == CaseState.OPEN
    assert timedelta(0) < run.wake_at - clock.now() <= timedelta(seconds=15)
    assert list(StepRun.objects.filter(run=run, outcome="done").values_list("key", flat=True)) == done
    assert not Failure.objects.exists()

    monkeypatch.setitem(registry.step_kinds, kind, known)
    Run.objects.update(wake_at=clock.now() - timedelta(seconds=1))
    work()

    run.refresh_from_db()
    assert run.state == RunState.SUCCEEDED
    assert list(StepRun.objects.filter(run=run, outcome="done").values_list("key", flat=True)) == ["first", "second"]


def test_met_again_and_again_it_keeps_waiting_and_loses_nothing(probe, monkeypatch):
    run = probe.run(factories.make_case(probe.organization))
    forgets(monkeypatch, "scripted_outside")

    for _ in range(5):
        Run.objects.update(wake_at=clock.now() - timedelta(seconds=1))
        work()

    run.refresh_from_db()
    since = run.waiting_since
    assert (run.state, run.attempt, run.lost_leases) == (RunState.WAITING, 0, 0)
    Run.objects.update(wake_at=clock.now() - timedelta(seconds=1))
    work()
    run.refresh_from_db()
    assert run.waiting_since == since
    assert not Failure.objects.exists()


def test_its_neighbours_go_on(probe, monkeypatch):
    ahead, behind = probe.runs(2)
    Run.objects.filter(pk=ahead.pk).update(position=1)
    forgets(monkeypatch, "scripted_outside")

    work()

    assert probe.states() == [(RunState.SUCCEEDED, CaseState.DONE), (RunState.WAITING, CaseState.OPEN)]
    assert Run.objects.get(pk=behind.pk).waits_for == WaitsFor.UPGRADE


def test_a_person_sees_what_it_waits_for(probe, monkeypatch, client):
    run = probe.run(factories.make_case(probe.organization))
    forgets(monkeypatch, "scripted_outside")
    work()
    client.force_login(probe.ada)

    text = text_of(client.get(f"/runs/{run.pk}/"))

    assert "waits for a newer worker" in text and "restart those of an earlier release" in text


def test_an_event_of_a_newer_reader_is_left_for_newer_workers(probe, monkeypatch):
    body = b'{"type": "probe.requested", "data": {"reference": "A1", "amount": "1.00", "currency": "GBP"}}'
    newer = factories.at(factories.make_event(probe.organization, body), reader="from_tomorrow")
    ours = factories.make_event(probe.organization, body)

    assert intake.take_in() == 1

    states = dict(Event.objects.values_list("pk", "state"))
    assert (states[newer.pk], states[ours.pk]) == (EventState.RECEIVED, EventState.PROCESSED)
    assert intake.take_in() == 0

    monkeypatch.setitem(registry.readers, "from_tomorrow", registry.readers["standard"])
    assert intake.take_in() == 1


def test_a_step_kind_that_is_known_is_asked_as_ever(probe):
    seen: list[RunContext] = []
    probe.second(lambda context: seen.append(context) or Done("Done."))
    probe.run(factories.make_case(probe.organization))

    work()

    assert len(seen) == 1
