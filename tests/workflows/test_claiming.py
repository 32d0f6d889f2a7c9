"""Whom a worker takes: the urgent first, the old in any case, and quickly however long the line is."""

import json
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from tests.factories import make_case, make_event
from tests.races import at_once
from tests.workflows.conftest import Probe
from workflows import tasks
from workflows.engine.running import claim
from workflows.models import Event, Run
from workflows.states import RunState

DUE = 50_000
LONGEST_MS = 10.0
# Urgent requests that arrive while bulk work is due, and what each may take, outcome included.
URGENT, LONGEST_WAIT = 10, timedelta(seconds=5)


def due_since(run: Run, minutes: int, **fields) -> Run:
    Run.objects.filter(pk=run.pk).update(wake_at=Now() - timedelta(minutes=minutes), **fields)
    return run


def test_a_full_batch_is_four_fifths_urgent_and_one_fifth_old(probe: Probe):
    bulk = [due_since(run, 60, priority=90) for run in probe.runs(30)]
    urgent = [due_since(run, 1, priority=10) for run in probe.runs(30)]

    taken = [run.pk for run in claim(limit=20)]

    assert len(taken) == len(set(taken)) == 20
    assert len(set(taken) & {run.pk for run in urgent}) == 16
    assert len(set(taken) & {run.pk for run in bulk}) == 4


def test_urgent_work_that_never_ends_does_not_starve_the_rest(probe: Probe):
    bulk = {due_since(run, 60, priority=90).pk for run in probe.runs(8)}
    rounds = 0

    while bulk:
        for run in probe.runs(20):
            due_since(run, 1, priority=10)
        bulk -= {run.pk for run in claim(limit=20)}
        rounds += 1
        assert rounds <= 2


def test_bulk_work_that_came_first_does_not_hold_up_what_is_urgent(probe: Probe):
    for run in probe.runs(60):
        due_since(run, 60, priority=90)
    [urgent] = probe.runs(1)
    due_since(urgent, 0, priority=10)

    assert urgent.pk in {run.pk for run in claim(limit=20)}


def test_a_short_line_is_taken_whole(probe: Probe):
    runs = {run.pk for run in probe.runs(7)}

    assert {run.pk for run in claim(limit=20)} == runs
    assert claim() == []


def urgent_request(probe: Probe, reference: str) -> Event:
    """A request as it arrives, of the urgent edition."""
    data = {"reference": reference, "amount": "1.00", "currency": "GBP"}
    return make_event(probe.organization, json.dumps({"type": "probe.requested", "data": data}).encode())


def behind_bulk_work(probe: Probe, count: int) -> None:
    """So much bulk work, all of it due for long; what arrives from now on is urgent."""
    many_due(probe, count)
    Run.objects.update(priority=90)
    probe.publish(priority=10)


def test_an_urgent_request_is_done_in_the_first_look_after_it_arrived(probe: Probe, monkeypatch):
    monkeypatch.setattr(tasks, "_LOOK_SECONDS", 0)
    behind_bulk_work(probe, 300)
    event = urgent_request(probe, "R1")

    tasks.tick()

    event.refresh_from_db()
    assert [run.state for run in event.case.runs.all()] == [RunState.SUCCEEDED]
    assert Run.objects.filter(state=RunState.SUCCEEDED).count() == 20  # it, and bulk work in the same batch


@pytest.mark.long
def test_urgent_requests_wait_little_behind_50000_runs_and_bulk_work_goes_on(committed_probe: Probe):
    """Two workers at a very long line; a request arrives twice a second and ends within seconds."""
    probe = committed_probe
    behind_bulk_work(probe, DUE)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            tasks.tick()

    def arrive() -> list[Event]:
        asked = []
        try:
            for number in range(URGENT):
                asked.append(urgent_request(probe, f"U{number}"))
                time.sleep(0.5)
            time.sleep(LONGEST_WAIT.total_seconds())
        finally:
            stop.set()
        return asked

    *_, asked = at_once(work, work, arrive)
    assert isinstance(asked, list), asked

    waited = Run.objects.filter(priority=10).values_list(F("ended_at") - F("case__events__received_at"), flat=True)
    assert len(waited) == URGENT and None not in waited
    assert max(waited) < LONGEST_WAIT, waited
    bulk = Run.objects.filter(priority=90)
    done, left = (bulk.filter(state=state).count() for state in (RunState.SUCCEEDED, RunState.READY))
    assert done > 200 and left > 1_000, (done, left)


def many_due(probe: Probe, count: int) -> None:
    """So many due runs with mixed priorities, each of a case of its own, written by the database itself."""
    [first] = probe.runs(1)
    case = make_case(probe.organization)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH made AS (
                INSERT INTO workflows_case (organization_id, kind, key, state, party, party_name, currency, target,
                    reason, requested_by, data, problems, standing)
                SELECT organization_id, kind, key || '-' || n, 'open', party, party_name, '', target, reason,
                    requested_by, data, problems, '' FROM workflows_case, generate_series(1, %s) n WHERE id = %s
                RETURNING id, organization_id
            )
            INSERT INTO workflows_run (organization_id, workflow_id, version_id, case_id, state, position, facts,
                priority, wake_at, waits_for, reason, attempt, lease_owner, epoch, lost_leases, skipped)
            SELECT made.organization_id, %s, %s, made.id, 'ready', 0, '{}', 10 + 10 * (made.id %% 9),
                now() - (made.id %% 7200) * interval '1 second', '', '', 0, '', 0, 0, '[]' FROM made
            """,
            [count, case.pk, first.workflow_id, first.version_id],
        )
        cursor.execute("ANALYZE workflows_run")
        cursor.execute("ANALYZE workflows_case")


def plans(**options) -> list[str]:
    """How the database finds what `claim` asks for: the most urgent, and the oldest."""
    due = Run.objects.due().select_related("case").select_for_update(skip_locked=True, of=("self",))
    with transaction.atomic():
        return [due.order_by(*order)[:16].explain(**options) for order in (("priority", "wake_at"), ("wake_at",))]


def test_claiming_reads_its_index_and_sorts_nothing(probe: Probe):
    many_due(probe, 3_000)

    urgent, oldest = plans()

    assert "Index Scan using workflows_run_due on workflows_run" in urgent, urgent
    assert "Index Scan using workflows_run_due_by_age on workflows_run" in oldest, oldest
    assert not any("Sort" in plan or "Seq Scan on workflows_run" in plan for plan in (urgent, oldest))


@pytest.mark.long
def test_a_claim_from_a_very_long_line_is_quick(probe: Probe):
    many_due(probe, DUE)
    for _ in range(40):
        assert len(claim(limit=20)) == 20

    # The database's own time; what the process makes of it is a figure of the benchmarks.
    took = [json.loads(plan)[0] for plan in plans(analyze=True, format="JSON")]

    assert sum(each["Planning Time"] + each["Execution Time"] for each in took) < LONGEST_MS
