"""Migrations let old code work on new tables: those that would not are refused."""

import pytest
from django.core.checks import Tags, run_checks
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from opsdesk import additive

TABLE = migrations.CreateModel(
    "Thing",
    [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=20)),
        ("note", models.CharField(max_length=20, null=True)),
        ("size", models.IntegerField(db_default=0)),
    ],
)


def refused(*operations: migrations.operations.base.Operation) -> list[str]:
    """What is said of a migration with these, on a table that was there before."""
    state = ProjectState()
    TABLE.state_forwards("tried", state)
    migration = migrations.Migration("0002_tried", "tried")
    migration.operations = list(operations)
    return list(additive.refusals(migration, state, migration.mutate_state(state)))


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (migrations.RemoveField("thing", "name"), "Remove field name from thing"),
        (migrations.DeleteModel("Thing"), "Delete model Thing"),
        (migrations.RenameField("thing", "name", "title"), "Rename field name on thing to title"),
        (migrations.RenameModel("Thing", "Matter"), "Rename model Thing to Matter"),
        (migrations.AlterModelTable("thing", "tried_matter"), "Rename table for thing"),
        (
            migrations.AddField("thing", "kind", models.CharField(max_length=9, default="")),
            "thing.kind needs null=True",
        ),
        (migrations.AlterField("thing", "note", models.CharField(max_length=20)), "thing.note no longer takes null"),
        (migrations.AlterField("thing", "size", models.IntegerField(default=0)), "thing.size no longer fills itself"),
        (migrations.AlterField("thing", "name", models.CharField(max_length=9)), "thing.name takes only 9 characters"),
        (migrations.AlterField("thing", "size", models.TextField(db_default="")), "from IntegerField to TextField"),
        (migrations.RunSQL("TRUNCATE tried_thing"), "SQL by hand"),
        (
            migrations.SeparateDatabaseAndState(database_operations=[migrations.RemoveField("thing", "name")]),
            "Remove field name",
        ),
    ],
)
def test_what_old_code_could_not_bear_is_refused(operation, words):
    (said,) = refused(operation)
    assert words in said


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("thing", "kind", models.CharField(max_length=9, db_default="")),
        migrations.AddField("thing", "kind", models.CharField(max_length=9, null=True)),
        migrations.AddField("thing", "others", models.ManyToManyField("tried.Thing")),
        migrations.AlterField("thing", "name", models.CharField(max_length=40, choices=[("a", "A")])),
        migrations.AddIndex("thing", models.Index(fields=["name"], name="tried_thing_name")),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel("Thing")]),
    ],
)
def test_what_adds_is_let_through(operation):
    assert refused(operation) == []


def test_a_table_that_no_old_code_knows_may_be_changed_in_the_migration_that_makes_it():
    new = migrations.CreateModel("Matter", [("id", models.BigAutoField(primary_key=True))])
    column = migrations.AddField("matter", "name", models.CharField(max_length=9, default=""))

    assert refused(new, column) == []


def test_a_migration_may_say_that_no_release_in_use_needs_it(monkeypatch):
    loader = MigrationLoader(None)
    (last,) = loader.graph.leaf_nodes("opsdesk")
    gone = migrations.RemoveField("heartbeat", "host")
    later = type("Migration", (migrations.Migration,), {"operations": [gone], "dependencies": [last]})
    key = ("opsdesk", "9999_no_host")

    def with_it(connection):
        found = MigrationLoader(connection)
        found.disk_migrations[key] = later(key[1], key[0])
        found.graph.add_node(key, found.disk_migrations[key])
        found.graph.add_dependency(later, key, last)
        return found

    monkeypatch.setattr(additive, "MigrationLoader", with_it)
    assert [each.id for each in additive.check_migrations_add(None)] == ["opsdesk.E001"]

    later.takes_away = "host was last read in release 0.1"
    assert additive.check_migrations_add(None) == []


def test_every_migration_of_the_desk_adds():
    errors = run_checks(tags=[Tags.models], include_deployment_checks=True)

    assert [each.msg for each in errors if each.id == "opsdesk.E001"] == []
