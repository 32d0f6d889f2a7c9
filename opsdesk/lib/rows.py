"""Writing many rows by one statement. They travel as one JSON text, which costs far less than a placeholder a value."""

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.db.models.expressions import DatabaseDefault
from psycopg import sql

Columns = tuple[Any, ...]


def insert_rows(rows: Sequence[models.Model]) -> None:
    """INSERT new rows of one model; keys are set on them afterwards, defaults of the database are not read back.

    Rows they point at must be saved by now. Django's `bulk_create` sends one placeholder a value as soon as a column
    has a default in the database, and spends longer on that than the database on the rows.
    Raises TypeError for a value or a kind of column that has no plain form in JSON.
    """
    if not rows:
        return
    model = type(rows[0])
    columns = tuple(column for column in _insertable(model) if not _left_to_the_database(rows, column))
    for row in rows:
        _point(row, columns)
    with connection.cursor() as cursor:
        cursor.execute(_insertion(model, columns), [_as_json(rows, columns)])
        keys = [key for (key,) in cursor.fetchall()]
    for row, key in zip(rows, keys, strict=True):
        row.pk = key
        row._state.adding, row._state.db = False, connection.alias


def write_changes(rows: Sequence[models.Model], fields: Sequence[str]) -> int:
    """UPDATE the named fields of saved rows of one model from their attributes; returns how many rows were there.

    Django's `bulk_update` builds a CASE tree a field, which costs several times the statement itself.
    The caller holds the row locks, or guards by a constraint. Raises TypeError as `insert_rows` does.
    """
    if not rows:
        return 0
    model = type(rows[0])
    columns = _named(model, tuple(fields))
    with connection.cursor() as cursor:
        cursor.execute(_change(model, columns), [_as_json(rows, columns)])
        return int(cursor.rowcount)


@cache
def _insertable(model: type[models.Model]) -> Columns:
    fields = model._meta.concrete_fields
    return _plain_columns(column for column in fields if not column.primary_key and not column.generated)


@cache
def _named(model: type[models.Model], names: tuple[str, ...]) -> Columns:
    return (model._meta.pk, *_plain_columns(model._meta.get_field(name) for name in names))


def _plain_columns(columns: Iterable[Any]) -> Columns:
    """These columns, if all hold what their attribute holds: no field of our own that converts, no `auto_now`."""
    found = tuple(columns)
    for column in found:
        if not type(column).__module__.startswith("django.db.models.fields") or getattr(column, "auto_now", False):
            raise TypeError(f"{column} does more than hold a value: write it the ordinary way.")
    return found


def _left_to_the_database(rows: Sequence[models.Model], column: Any) -> bool:
    if not column.has_db_default():
        return False
    left = {isinstance(getattr(row, column.attname), DatabaseDefault) for row in rows}
    if len(left) > 1:
        raise ValueError(f"{column} is given for some rows and left to the database for others.")
    return left == {True}


def _point(row: models.Model, columns: Columns) -> None:
    """Take the keys of rows that were saved after they had been pointed at."""
    for column in columns:
        if column.is_relation and getattr(row, column.attname) is None and column.is_cached(row):
            other = column.get_cached_value(row)
            if other is not None:
                setattr(row, column.attname, other.pk)


def _as_json(rows: Sequence[models.Model], columns: Columns) -> str:
    names = [(column.column, column.attname) for column in columns]
    return json.dumps(
        [{column: getattr(row, name) for column, name in names} for row in rows],
        default=_plain,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )


def _plain(value: object) -> str:
    """What JSON has no word for, as the database reads it. Raises TypeError for anything else, an expression say."""
    if isinstance(value, datetime) and value.tzinfo is None:
        raise TypeError(f"{value!r} names no moment: it has no time zone.")
    if isinstance(value, date):  # which a datetime is too
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{value!r} cannot be written with many rows at once.")


@cache
def _insertion(model: type[models.Model], columns: Columns) -> str:
    return (
        sql.SQL("INSERT INTO {table} ({names}) SELECT {names} FROM json_to_recordset(%s) AS v({typed}) RETURNING {key}")
        .format(
            table=sql.Identifier(model._meta.db_table),
            names=sql.SQL(", ").join(sql.Identifier(column.column) for column in columns),
            typed=_typed(columns),
            key=sql.Identifier(_key_of(model).column),
        )
        .as_string()
    )


@cache
def _change(model: type[models.Model], columns: Columns) -> str:
    changed = [sql.SQL("{0} = v.{0}").format(sql.Identifier(column.column)) for column in columns[1:]]
    return (
        sql.SQL("UPDATE {table} SET {changed} FROM json_to_recordset(%s) AS v({typed}) WHERE {table}.{key} = v.{key}")
        .format(
            table=sql.Identifier(model._meta.db_table),
            changed=sql.SQL(", ").join(changed),
            typed=_typed(columns),
            key=sql.Identifier(_key_of(model).column),
        )
        .as_string()
    )


def _key_of(model: type[models.Model]) -> Any:
    return model._meta.pk


def _typed(columns: Columns) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{} " + _type_of(column)).format(sql.Identifier(column.column)) for column in columns
    )


def _type_of(column: Any) -> str:
    """The column's type without its length: too long a text is for the table to refuse, not for a cast to cut."""
    column = column.target_field if column.is_relation else column
    kind = column.rel_db_type(connection) if column.primary_key else column.db_type(connection)
    return str(kind).split("(")[0]
