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
    if not rows:
        return {}
    counted = {name: CappedCount(found.order_by().values("pk")[: cap + 1]) for name, found in rows.items()}
    host = type(anchor)._default_manager.filter(pk=anchor.pk).annotate(**counted)
    return dict(zip(rows, host.values_list(*rows).get(), strict=True))


def in_words(count: int, cap: int) -> str:
    """A count as it is shown: “37”, or “99+” above the cap."""
    return f"{cap}+" if count > cap else str(count)
