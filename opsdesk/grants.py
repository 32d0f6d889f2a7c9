"""Separate roles: one owns the tables and migrates them; the desk's processes have only the rights they need.

An owner can switch off the triggers that keep the audit log append-only; a role that owns nothing cannot.
"""

from collections.abc import Iterator

from django.apps import apps
from django.db import connection, transaction
from psycopg import sql

from auditlog.models import Change, Entry

ALL, ADD_ONLY = ("SELECT", "INSERT", "UPDATE", "DELETE"), ("SELECT", "INSERT")
# Everything else that would change or remove a row, or switch off what forbids it, is for the owner alone.
APPEND_ONLY = frozenset({Entry._meta.db_table})
# Written by the owner's triggers alone.
READ_ONLY = frozenset({Change._meta.db_table})
MIGRATIONS = "django_migrations"


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
        cursor.execute(sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}").format(who))
    return count


def _rights() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each table of the desk with what its processes may do there."""
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:
            table = model._meta.db_table
            yield table, ("SELECT",) if table in READ_ONLY else ADD_ONLY if table in APPEND_ONLY else ALL
    yield MIGRATIONS, ("SELECT",)
