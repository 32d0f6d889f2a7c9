"""Many rows by one statement: every kind of value arrives as it was, and what cannot be written is refused."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from opsdesk.lib.rows import insert_rows, write_changes
from tests import factories
from workflows.models import Case, Event, Run, StepRun
from workflows.states import CaseState, RunState

pytestmark = pytest.mark.django_db
ODD = ['"quoted"', "it’s 'so'", "back\\slash", "line\nfeed\ttab", "%s %(x)s", "zwölf 🦊", "", "{}", "null"]


@pytest.fixture
def organization() -> Any:
    return factories.make_desk()[0]


def case(organization: Any, key: str, **values: Any) -> Case:
    return Case(organization=organization, kind="refund", key=key, **values)


def test_every_value_arrives_as_it_was(organization):
    at = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
    rows = [
        case(
            organization, f"K{number}", standing=text, data={"text": text, "deep": [1, None, True, {"a": 2**60}]},
            problems=[text], amount_minor=2**53 + number, currency="GBP", requested_at=at,
        )
        for number, text in enumerate(ODD)
    ]  # fmt: skip

    insert_rows(rows)

    for row in rows:
        found = Case.objects.get(pk=row.pk)
        assert (found.key, found.standing, found.data, found.problems) == (
            row.key,
            row.standing,
            row.data,
            row.problems,
        )
        assert (found.amount_minor, found.requested_at, found.state) == (row.amount_minor, at, CaseState.OPEN)
        assert found.opened_at is not None
        assert found.closed_at is None
        assert found.requested_by_user_id is None
        assert not row._state.adding


def test_rows_find_those_that_were_written_just_before_them(organization):
    model = factories.make_run(factories.make_case(organization))
    parent = case(organization, "P1")
    run = Run(organization=organization, workflow=model.workflow, version=model.version, case=parent)

    insert_rows([parent])
    insert_rows([run])
    insert_rows([StepRun(run=run, position=0, key="a", kind="note", outcome="done") for _ in range(3)])

    assert Run.objects.get(pk=run.pk).case_id == parent.pk
    assert run.steps.count() == 3


def test_many_rows_cost_one_statement(organization, django_assert_num_queries):
    rows = [case(organization, f"K{number}") for number in range(50)]
    with django_assert_num_queries(1):
        insert_rows(rows)
    assert len({row.pk for row in rows}) == 50
    for row in rows:
        row.standing = f"Stands at {row.key}."
    with django_assert_num_queries(1):
        assert write_changes(rows, ["standing"]) == 50
    assert all(row.standing == Case.objects.get(pk=row.pk).standing for row in rows[::10])


def test_changes_of_every_kind_arrive(organization):
    run = factories.make_run(factories.make_case(organization), state=RunState.WAITING)
    at = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    run.facts, run.wake_at, run.reason, run.priority = {"a": {"value": 'ü\\"'}}, at, "it’s 100 %", 7

    assert write_changes([run], ["facts", "wake_at", "reason", "priority"]) == 1
    again = Run.objects.get(pk=run.pk)
    assert (again.facts, again.wake_at, again.reason, again.priority) == (run.facts, at, run.reason, 7)

    run.wake_at = None
    write_changes([run], ["wake_at"])
    assert Run.objects.get(pk=run.pk).wake_at is None


def test_nothing_to_write_is_no_statement(django_assert_num_queries):
    with django_assert_num_queries(0):
        insert_rows([])
        assert write_changes([], ["standing"]) == 0


@pytest.mark.parametrize("value", [Now(), F("key"), b"bytes", 1 + 2j, float("nan"), datetime(2026, 1, 1)])  # noqa: DTZ001
def test_what_has_no_plain_value_is_refused(organization, value):
    with pytest.raises((TypeError, ValueError)):
        insert_rows([case(organization, "K1", standing=value)])


def test_a_default_of_the_database_holds_for_all_rows_or_none(organization):
    given = case(organization, "K1", opened_at=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="left to the database for others"):
        insert_rows([given, case(organization, "K2")])
    insert_rows([given])
    assert Case.objects.get(pk=given.pk).opened_at == given.opened_at


def test_the_table_refuses_what_does_not_fit_and_cuts_nothing(organization):
    with pytest.raises(DataError, match="too long"), transaction.atomic():
        insert_rows([case(organization, "x" * 101)])
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_rows([case(organization, "K1", closed_at=datetime(2026, 1, 1, tzinfo=UTC))])
    assert not Case.objects.filter(organization=organization, key__startswith="x").exists()


def test_keys_belong_to_their_rows(organization):
    names = [uuid.uuid4().hex for _ in range(300)]
    rows = [case(organization, name) for name in names]
    insert_rows(rows)
    found = dict(Case.objects.filter(key__in=names).values_list("pk", "key"))
    assert {row.pk: row.key for row in rows} == found


def test_bytes_are_for_the_ordinary_way(organization):
    event = Event(organization=organization, source="s", dedupe_key="k", reader="standard", body=b"x", body_hash="h")
    with pytest.raises(TypeError, match="cannot be written with many rows"):
        insert_rows([event])
    assert connection.in_atomic_block


def test_columns_that_convert_are_for_the_ordinary_way(organization):
    gateway = factories.make_connection(organization, "second")
    with pytest.raises(TypeError, match="write it the ordinary way"):
        write_changes([gateway], ["secret"])
