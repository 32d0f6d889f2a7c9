"""The check that refuses migrations which code of the release before could not bear.

During an upgrade old processes work on new tables. So a migration adds, and what is new fills itself. What nobody uses
any more is taken away a release later, by a migration that says so in its class: `takes_away = "last used in 0.3"`.
"""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

OURS = frozenset({"accounts", "auditlog", "workflows", "integrations", "approvals", "opsdesk"})
_TAKES_AWAY = (
    operations.RemoveField,
    operations.DeleteModel,
    operations.RenameField,
    operations.RenameModel,
    operations.AlterModelTable,
)


@register(Tags.models, deploy=True)
def check_migrations_add(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """An error for each operation that takes something from the code of the release before."""
    loader = MigrationLoader(None)
    order = dict.fromkeys(key for leaf in loader.graph.leaf_nodes() for key in loader.graph.forwards_plan(leaf))
    state, end, found = ProjectState(), loader.project_state(), list[CheckMessage]()
    for key in order:
        migration = loader.disk_migrations[key]
        for words in refusals(migration, state, end):
            if key[0] in OURS and not getattr(migration, "takes_away", ""):
                hint = "Add it beside the old, or say in the migration's takes_away which release used it last."
                found.append(Error(f"{key[0]}.{key[1]}: {words}", hint=hint, id="opsdesk.E001"))
    return found


def refusals(migration: Migration, state: ProjectState, end: ProjectState) -> Iterator[str]:
    """What old code could not bear, in words; moves `state` on to what it is after the migration.

    `end` is the state after all migrations, which a release applies together.
    """
    made: set[str] = set()
    for operation in migration.operations:
        yield from _refused(operation, migration.app_label, state, end, made)
        operation.state_forwards(migration.app_label, state)
        if isinstance(operation, operations.CreateModel):
            made.add(operation.name_lower)


def _refused(operation: Operation, app: str, state: ProjectState, end: ProjectState, made: set[str]) -> Iterator[str]:
    """The same of one operation; `made` are models that no old code knows."""
    if isinstance(operation, operations.SeparateDatabaseAndState):
        for each in operation.database_operations:
            yield from _refused(each, app, state, end, made)
    elif isinstance(operation, operations.RunSQL):
        yield "SQL by hand, of which nobody can tell what it takes away."
    elif getattr(operation, "model_name_lower", getattr(operation, "name_lower", "")) in made:
        return
    elif isinstance(operation, _TAKES_AWAY):
        yield f"{operation.describe()}, which old code may still use."
    elif isinstance(operation, operations.AddField):
        fields = end.models[app, operation.model_name_lower].fields
        field = fields.get(operation.name, operation.field)
        if not (field.null or field.many_to_many or field.has_db_default()):
            yield f"{operation.model_name}.{operation.name} needs null=True or db_default: old code does not fill it."
    elif isinstance(operation, operations.AlterField):
        old = state.models[app, operation.model_name_lower].fields[operation.name]
        for words in _narrowed(old, operation.field):
            yield f"{operation.model_name}.{operation.name} {words}"


def _narrowed(old: models.Field, new: models.Field) -> Iterator[str]:
    """What an altered column no longer takes."""
    if old.null and not new.null:
        yield "no longer takes null."
    if old.has_db_default() and not (new.has_db_default() or new.null):
        yield "no longer fills itself."
    if new.max_length and (not old.max_length or new.max_length < old.max_length):
        yield f"takes only {new.max_length} characters."
    if old.get_internal_type() != new.get_internal_type():
        yield f"changes from {old.get_internal_type()} to {new.get_internal_type()}."
