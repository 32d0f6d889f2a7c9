"""Every change of every tracked row leaves a row, whichever way it is made."""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.postgres.fields import ArrayField
from django.core.checks import run_checks
from django.db import connection, models, transaction
from django.db.migrations.loader import MigrationLoader

from auditlog import noting, tracking
from auditlog.models import Change
from auditlog.tracking import TRACKED, Tracked

pytestmark = pytest.mark.django_db

CANARY = "canary"
MOMENT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def some(field: models.Field, turn: int) -> Any:
    """A value for a column; another one each turn."""
    match field:
        case models.ForeignKey():
            return turn
        case models.BooleanField():
            return turn % 2 == 0
        case models.DecimalField():
            return Decimal(turn)
        case models.IntegerField():
            return turn
        case models.DateTimeField():
            return MOMENT + timedelta(days=turn)
        case models.DateField():
            return date(2026, 1, turn % 28 + 1)
        case models.TimeField():
            return time(turn % 24)
        case models.DurationField():
            return timedelta(seconds=turn)
        case models.JSONField():
            return {CANARY: turn}
        case models.UUIDField():
            return uuid.UUID(int=turn)
        case ArrayField():
            return [some(field.base_field, turn)]
    return f"{CANARY}{turn}"[: field.max_length]


def columns(model: Any) -> list[models.Field]:
    return [field for field in model._meta.concrete_fields if not field.primary_key and not field.generated]


def made_up(model: Any, turn: int) -> Any:
    return model(**{field.attname: some(field, turn) for field in columns(model)})


def lay_open(table: str) -> None:
    """Take from a table, within this transaction, whatever asks that its rows make sense, but not what is tested."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('ALTER TABLE %%I DROP CONSTRAINT %%I', conrelid::regclass, conname) FROM pg_constraint"
            " WHERE conrelid = %s::regclass AND contype IN ('c', 'f', 'u', 'x')"
            " UNION ALL SELECT format('DROP INDEX IF EXISTS %%I', i.indexrelid::regclass) FROM pg_index i"
            " WHERE indrelid = %s::regclass AND indisunique AND NOT indisprimary AND NOT EXISTS"
            " (SELECT FROM pg_constraint WHERE conindid = indexrelid)"
            " UNION ALL SELECT format('ALTER TABLE %%I DISABLE TRIGGER %%I', tgrelid::regclass, tgname) FROM pg_trigger"
            " WHERE tgrelid = %s::regclass AND NOT tgisinternal AND NOT starts_with(tgname, 'auditlog_')",
            [table] * 3,
        )
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)


def past_of(model: Any) -> Any:
    """The model as a migration has it."""
    state = MigrationLoader(connection).project_state().apps
    return state.get_model(model._meta.app_label, model._meta.model_name)


class Paths:
    """Each way to change rows of one table; yields how many rows it added, changed, removed."""

    def __init__(self, each: Tracked) -> None:
        self.model = each.model
        self.table = self.model._meta.db_table
        self.column = next(f for f in columns(self.model) if f.column not in each.passing)

    def _change(self, turn: int) -> dict[str, Any]:
        return {self.column.attname: some(self.column, turn)}

    def save(self) -> tuple[int, int, int]:
        row = made_up(self.model, 1)
        row.save(force_insert=True)
        setattr(row, self.column.attname, some(self.column, 2))
        row.save(force_update=True)
        return 1, 1, 0

    def many(self) -> tuple[int, int, int]:
        rows = self.model._base_manager.bulk_create([made_up(self.model, turn) for turn in (3, 4, 5)])
        for row in rows:
            setattr(row, self.column.attname, some(self.column, 6 + row.pk % 2))
        changed = self.model._base_manager.bulk_update(rows[:2], [self.column.attname])
        return 3, changed, 0

    def update(self) -> tuple[int, int, int]:
        return 0, self.model._base_manager.update(**self._change(9)), 0

    def raw(self) -> tuple[int, int, int]:
        names = ", ".join(f'"{field.column}"' for field in columns(self.model))
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {self.table} ({names}) SELECT {names} FROM {self.table} LIMIT 2")  # noqa: S608
            added = cursor.rowcount
            one = f"WITH one AS (SELECT min(id) AS id FROM {self.table})"  # noqa: S608
            cursor.execute(f"{one} DELETE FROM {self.table} t USING one WHERE t.id = one.id")  # noqa: S608
            return added, 0, cursor.rowcount

    def migration(self) -> tuple[int, int, int]:
        rows = past_of(self.model)._base_manager
        return 0, rows.update(**self._change(10)), 0

    def delete(self) -> tuple[int, int, int]:
        rows = self.model._base_manager.all()
        return 0, 0, rows._raw_delete(rows.db)


@pytest.mark.parametrize("each", TRACKED, ids=lambda each: each.label)
def test_every_way_to_change_a_row_leaves_a_row(each):
    lay_open(each.model._meta.db_table)
    paths = Paths(each)
    for way in (paths.save, paths.many, paths.update, paths.raw, paths.migration, paths.delete):
        before = Change.objects.values_list("pk", flat=True).order_by("-pk").first() or 0

        added, changed, removed = way()

        seen = list(Change.objects.filter(pk__gt=before))
        expected = {"insert": added, "update": changed, "delete": removed}
        assert {name: sum(row.operation == name for row in seen) for name in expected} == expected, way.__name__
        assert all(row.actor and row.request_id and row.database_user and row.row_id for row in seen)
        kept = [side for row in seen for side in (row.before, row.after)]
        for name in each.withheld:
            assert {str(side[name]) for side in kept if name in side} <= {"not kept here", "not kept here, changed"}
        assert not any(name in side for side in kept for name in each.passing)


def test_emptying_a_table_leaves_a_row():
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE approvals_rung")

    assert Change.objects.get().operation == "truncate"


def test_every_table_is_tracked_or_named_with_a_reason(monkeypatch):
    labels = [model._meta.label for model in tracking.models_of_the_desk()]
    named = [each.label for each in TRACKED] + list(tracking.UNTRACKED)

    assert sorted(labels) == sorted(named)
    assert all(reason.endswith(".") for reason in tracking.UNTRACKED.values())

    monkeypatch.setattr(tracking, "TRACKED", tuple(each for each in TRACKED if each.label != "accounts.Team"))
    assert [error.id for error in run_checks() if error.id.startswith("auditlog.")] == ["auditlog.E001"]


def test_what_is_missing_in_the_database_is_named_and_made():
    assert noting.missing() == [] and noting.install() == 0

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_team DISABLE TRIGGER auditlog_note_update")
        cursor.execute("DROP TRIGGER auditlog_note_insert ON accounts_team")
        cursor.execute("COMMENT ON FUNCTION auditlog_note_accounts_team() IS 'another'")

    assert noting.missing() == [
        "auditlog_note_accounts_team", "auditlog_note_insert on accounts_team", "auditlog_note_update on accounts_team",
    ]  # fmt: skip
    assert noting.install() == 3
    with transaction.atomic():
        assert noting.missing() == []
