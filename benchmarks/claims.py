"""Claiming from a line of 50,000 due runs, run as a process of its own: prints the milliseconds of ours and of bare."""

import json
import statistics
import sys
import time
from collections.abc import Callable

import django

django.setup()

from django.db import connection, transaction  # noqa: E402

from accounts.models import Organization  # noqa: E402
from workflows.engine.running import claim  # noqa: E402
from workflows.models import Run, WorkflowVersion  # noqa: E402
from workflows.states import VersionState  # noqa: E402

DUE, CLAIMS, LIMIT = 50_000, 40, 20
_FILL = """
    WITH made AS (
        INSERT INTO workflows_case (organization_id, kind, key, state, party, party_name, currency, target, reason,
            requested_by, data, problems, standing)
        SELECT %s, 'bench', 'line-' || n, 'open', '', '', '', '', '', '', '{}', '[]', '' FROM generate_series(1, %s) n
        RETURNING id
    )
    INSERT INTO workflows_run (organization_id, workflow_id, version_id, case_id, state, position, facts, priority,
        wake_at, waits_for, reason, attempt, lease_owner, epoch, lost_leases, skipped, in_turn)
    SELECT %s, %s, %s, id, 'ready', 0, '{}', 10 + 10 * (id %% 9), now() - (id %% 7200) * interval '1 second',
        '', '', 0, '', 0, 0, '[]', false FROM made
"""
_BARE = """
    SELECT id FROM workflows_run
    WHERE state IN ('ready', 'waiting') AND wake_at IS NOT NULL AND paused_at IS NULL AND wake_at <= now()
    ORDER BY wake_at LIMIT %s FOR UPDATE SKIP LOCKED
"""


def fill() -> None:
    """The line: runs of the published version with mixed priorities."""
    version = WorkflowVersion.objects.filter(state=VersionState.PUBLISHED).order_by("pk")[0]
    organization = Organization.objects.get(pk=version.workflow.organization_id)
    with connection.cursor() as cursor:
        cursor.execute(_FILL, [organization.pk, DUE, organization.pk, version.workflow_id, version.pk])
        for table in ("workflows_run", "workflows_case"):
            cursor.execute(f"VACUUM ANALYZE {table}")


def _timed(ask: Callable[[], None]) -> float:
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1000


def _ours() -> None:
    assert len(claim(LIMIT)) == LIMIT


def _bare() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_BARE, [LIMIT])
        assert len(cursor.fetchall()) == LIMIT


def measure() -> tuple[float, float]:
    """Median of one claim with all that belongs to it, and of the bare statement, in milliseconds."""
    pairs = [(_timed(_ours), _timed(_bare)) for _ in range(CLAIMS)]
    return statistics.median(ours for ours, _ in pairs), statistics.median(bare for _, bare in pairs)


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill()
    else:
        assert Run.objects.due().count() > CLAIMS * LIMIT
        print(json.dumps(measure()))
