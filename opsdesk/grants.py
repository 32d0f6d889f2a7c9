"""Separate roles: one owns the tables and migrates them; the desk's processes have only the rights they need.

An owner can switch off the triggers that keep the audit log append-only; a role that owns nothing cannot.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import Model
from psycopg import sql

from auditlog.models import Change, ChangeSeal, Entry, Erasure, Handing, Removal, Seal

ALL, ADD_ONLY = ("SELECT", "INSERT", "UPDATE", "DELETE"), ("SELECT", "INSERT")
MIGRATIONS = "django_migrations"
# What the database writes by itself into an entry: its key, its moment and so on. Nobody may say these.
OWN_WORDS = {Entry._meta.db_table: frozenset({"id", "at", "salt", "transaction"})}
# Everything else that would change or remove a row, or switch off what forbids it, is for the owner alone.
APPEND_ONLY = frozenset(model._meta.db_table for model in (Entry, Change, Seal, ChangeSeal, Handing, Removal, Erasure))
# Written by the owner's functions and triggers alone.
READ_ONLY = frozenset({Change._meta.db_table, Erasure._meta.db_table})


@transaction.atomic
def grant_to(role: str) -> int:
    """Give a role what the desk's processes need, and take all else from it; returns how many tables there are.

    For the role that owns the tables. Raises django.db.ProgrammingError when there is no such role.
    """
    count = 0
    with connection.cursor() as cursor:
        who = sql.Identifier(role)
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(who))
        for table, rights in _rights():
            names = {"table": sql.Identifier(table), "role": who, "rights": sql.SQL(", ".join(rights))}
            cursor.execute(sql.SQL("REVOKE ALL ON {table} FROM {role}").format(**names))
            cursor.execute(sql.SQL("GRANT {rights} ON {table} TO {role}").format(**names))
            count += 1
        for model in (model for model in apps.get_models() if model._meta.db_table in OWN_WORDS):
            _keep_own_words(cursor, model, who)
        # It looks itself whether what it removes may go.
        cursor.execute(sql.SQL("GRANT EXECUTE ON FUNCTION auditlog_carry_out(bigint) TO {}").format(who))
        cursor.execute(sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}").format(who))
    return count


def _keep_own_words(cursor: Any, model: type[Model], who: sql.Identifier) -> None:
    """Let a role insert only the columns that are for it to say."""
    table = model._meta.db_table
    columns = [str(field.column) for field in model._meta.concrete_fields if field.column not in OWN_WORDS[table]]
    names = {
        "table": sql.Identifier(table),
        "role": who,
        "columns": sql.SQL(", ").join(sql.Identifier(name) for name in columns),
    }
    cursor.execute(sql.SQL("REVOKE INSERT ON {table} FROM {role}").format(**names))
    cursor.execute(sql.SQL("GRANT INSERT ({columns}) ON {table} TO {role}").format(**names))


def _rights() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each table of the desk with what its processes may do there."""
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:
            table = model._meta.db_table
            rights = ADD_ONLY if table in APPEND_ONLY else ALL
            yield table, ("SELECT",) if table in READ_ONLY else rights
    yield MIGRATIONS, ("SELECT",)
