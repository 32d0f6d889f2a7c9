"""What a run costs the database, in numbers that no busy machine changes: a batch costs what a single run does."""

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals.policies import publish_bands
from benchmarks import steps
from tests.factories import make_desk, make_event
from workflows import checking, registry
from workflows.engine import intake, running
from workflows.models import Run
from workflows.publishing import publish_pack
from workflows.states import RunState, Tier

MOST_STATEMENTS = 30


@pytest.fixture
def organization(db, monkeypatch):
    """A desk in which the five-step workflow of the benchmarks is published: decision and consent by rule included."""
    organization, _ = make_desk()
    monkeypatch.setitem(registry.step_kinds, "note", steps.Note())
    monkeypatch.setitem(checking.GOES_BEFORE, "decide", "note")
    version = publish_pack(organization, steps.PACK.read_text(encoding="utf-8"), by=None, reason="To be counted.")
    publish_bands(version.workflow, {"GBP": [("0.00", Tier.INSTANT)]}, by=None, reason="To be counted.")
    return organization


def worked_off(organization, count: int) -> list[str]:
    """Statements of taking in so many events and running them to their end."""
    for _ in range(count):
        make_event(organization, steps.request_named(uuid.uuid4().hex[:12]))
    before = Run.objects.filter(state=RunState.SUCCEEDED).count()
    with CaptureQueriesContext(connection) as asked:
        intake.take_in()
        running.advance(running.claim())
    assert Run.objects.filter(state=RunState.SUCCEEDED).count() == before + count
    return [each["sql"] for each in asked.captured_queries]


def test_twenty_runs_cost_the_statements_of_one(organization):
    worked_off(organization, 1)  # from now on the process knows the version
    one, twenty = worked_off(organization, 1), worked_off(organization, 20)

    # A full batch asks once more: for those that have been due for longest.
    assert len(twenty) <= len(one) + 1, twenty
    assert len(one) <= MOST_STATEMENTS, one


def test_twenty_runs_are_three_commits(organization):
    asked = worked_off(organization, 20)

    # Within a test, what would be a commit releases a savepoint: taking in, claiming, running.
    assert len([sql for sql in asked if sql.startswith("RELEASE")]) == 3
