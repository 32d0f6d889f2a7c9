"""Counting rows only as far as a screen says numbers: a long queue costs no more to count than a short one."""

from collections.abc import Mapping
from typing import Any

from django.db.models import IntegerField, Model, QuerySet, Subquery


class CappedCount(Subquery):
    """The number of rows of a sliced queryset, counted by the database."""

    template = "(SELECT count(*) FROM (%(subquery)s) AS capped)"
    output_field = IntegerField()


def counts_of(anchor: Model, cap: int, rows: Mapping[str, QuerySet[Any]]) -> dict[str, int]:
    """How many rows each queryset has, up to `cap` + 1, all in one statement; `anchor` is any row that exists."""
    return counts_with(anchor, cap, rows)[0] if rows else {}


def counts_with(
    anchor: Model, cap: int, rows: Mapping[str, QuerySet[Any]], **beside: Any
) -> tuple[dict[str, int], dict[str, Any]]:
    """The same, with the values of further expressions that the one statement brings along."""
    counted = {f"count_{name}": CappedCount(found.order_by().values("pk")[: cap + 1]) for name, found in rows.items()}
    found = type(anchor)._default_manager.filter(pk=anchor.pk).annotate(**counted, **beside)
    values = found.values(*counted, *beside).get()
    return {name: values[f"count_{name}"] for name in rows}, {name: values[name] for name in beside}


def in_words(count: int, cap: int) -> str:
    """A count as it is shown: “37”, or “99+” above the cap."""
    return f"{cap}+" if count > cap else str(count)
