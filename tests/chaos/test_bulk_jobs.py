"""The jobs process is killed in the middle of a bulk: what is done is done once, and another process goes on."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models.functions import Now

from auditlog.models import Entry
from opsdesk.lib import errands as door
from tests import factories
from tests.chaos.mortal import Errands
from tests.plugins.line import Line
from tests.plugins.sandbox import Gateway, Inbox
from workflows.bulk import jobs
from workflows.models import Bulk, FailureItem, Run
from workflows.states import BulkState, RunState

RUNS = 6


@pytest.fixture
def errands(committed_line: Line, gateway_process: Gateway, inbox_process: Inbox, tmp_path: Path) -> Iterator[Errands]:
    """The jobs process, which may be told where to die."""
    errands = Errands(gateway_process, inbox_process, tmp_path / "errands.log")
    yield errands
    errands.end()


@pytest.mark.parametrize(
    ("crash", "done"),
    [
        ("repair.before_commit:3", 2),  # within the third item: it was never done
        ("repair.after_commit:3", 3),  # right after it: it is done, with its result
    ],
)
def test_a_killed_jobs_process_loses_nothing_and_does_nothing_twice(
    committed_line: Line, errands: Errands, monkeypatch: pytest.MonkeyPatch, crash: str, done: int
) -> None:
    failure = factories.make_failure(committed_line.organization, items=RUNS)
    runs = [item.run for item in FailureItem.objects.filter(failure=failure).order_by("pk")]
    bulk = factories.make_bulk(committed_line.organization, committed_line.cast.maya, kind="runs.retry", runs=runs)
    asked: list[int] = []
    monkeypatch.setattr(door, "push", lambda name, job, key: asked.append(key))

    assert not errands.run("carry", bulk.pk, crash=crash)

    assert bulk.items.filter(result="done").count() == done
    assert Run.objects.filter(state=RunState.READY).count() == done
    assert Entry.objects.filter(verb="workflows.run.repaired").count() == done

    # Nobody is asked again for a bulk that somebody has just worked on.
    assert jobs.wake_stale() == 0
    Bulk.objects.update(looked_at=Now() - timedelta(minutes=1))
    assert jobs.wake_stale() == 1
    assert asked == [bulk.pk]
    assert errands.run("carry", bulk.pk)

    bulk.refresh_from_db()
    assert (bulk.state, bulk.done, bulk.refused, bulk.failed) == (BulkState.DONE, RUNS, 0, 0)
    repaired = Entry.objects.filter(verb="workflows.run.repaired").values_list("subject_id", flat=True)
    assert sorted(repaired) == [run.pk for run in runs]
