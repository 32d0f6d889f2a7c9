"""Rows as lines of a CSV file that a spreadsheet opens without carrying anything out."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from opsdesk.lists.registry import Column, Value

# Excel takes a file for UTF-8 only when it begins so.
MARK = "\ufeff".encode()
# What a spreadsheet may take for a formula: these signs, their full-width sisters, also after spaces that are not seen;
# and texts that begin with a tab or the end of a line.
_LIVE = re.compile(r"[\t\r\n]|[\s\ufeff\u200b-\u200f\u2060]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_GUARD = "'"


def guarded(text: str) -> str:
    """The text with an apostrophe before it where it could be taken for a formula, else as it is."""
    return _GUARD + text if _LIVE.match(text.lstrip(_GUARD)) else text


def unguarded(text: str) -> str:
    """What `guarded` was given."""
    taken = text.removeprefix(_GUARD)
    return taken if taken != text and _LIVE.match(taken.lstrip(_GUARD)) else text


def header(columns: Sequence[Column], *, with_mark: bool) -> bytes:
    """The first line, with the mark before it where it is wanted."""
    return (MARK if with_mark else b"") + _written([[column.label for column in columns]])


def lines(rows: Iterable[Any], columns: Sequence[Column], zone: tzinfo) -> bytes:
    """One line a row. Texts stand in quotes, numbers do not; instants are written with their offset in `zone`."""
    return _written([[_cell(column.value(row), zone) for column in columns] for row in rows])


def _cell(value: Value, zone: tzinfo) -> str | int | Decimal:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(timespec="seconds")
    return guarded(value) if isinstance(value, str) else value


def _written(table: Iterable[Sequence[Any]]) -> bytes:
    # Where semicolons part columns, an unquoted one within a text would begin another cell.
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n").writerows(table)
    return text.getvalue().encode("utf-8", "replace")
