"""Whom a worker takes: the urgent first, the old in any case, and quickly however long the line is."""

import json
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from tests.factories import make_case
from tests.workflows.conftest import Probe
from workflows.engine.running import claim
from workflows.models import Run

DUE = 50_000
LONGEST_MS = 10.0


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
