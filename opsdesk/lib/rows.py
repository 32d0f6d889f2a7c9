"""Writing many changed rows by one statement."""

from collections.abc import Sequence
from typing import Any

from django.db import connection, models
from psycopg import sql


def write_changes(rows: Sequence[models.Model], fields: Sequence[str]) -> int:
    """UPDATE the named fields of saved rows of one model from their attributes; returns how many rows were there.

    Django's `bulk_update` builds a CASE tree a field, which costs several times the statement itself.
    The caller holds the row locks, or guards by a constraint.
    """
    if not rows:
        return 0
    meta = type(rows[0])._meta
    columns: list[Any] = [meta.get_field(name) for name in fields]
    pk: Any = meta.pk
    target: Any = sql.SQL(", ").join(sql.SQL("{0} = v.{0}").format(sql.Identifier(column.column)) for column in columns)
    types = [pk.rel_db_type(connection), *(_type_of(column) for column in columns)]
    one = sql.SQL("({})").format(sql.SQL(", ").join(sql.SQL("%s::" + kind) for kind in types))
    statement = sql.SQL(
        "UPDATE {table} SET {target} FROM (VALUES {values}) AS v({names}) WHERE {table}.{pk} = v.{pk}"
    ).format(
        table=sql.Identifier(meta.db_table),
        target=target,
        values=sql.SQL(", ").join([one] * len(rows)),
        names=sql.SQL(", ").join(sql.Identifier(column.column) for column in [pk, *columns]),
        pk=sql.Identifier(pk.column),
    )
    values: list[Any] = []
    for row in rows:
        values.append(row.pk)
        values.extend(column.get_db_prep_save(getattr(row, column.attname), connection) for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def _type_of(column: Any) -> str:
    related = getattr(column, "target_field", None)
    return str(related.rel_db_type(connection) if related is not None else column.cast_db_type(connection))
