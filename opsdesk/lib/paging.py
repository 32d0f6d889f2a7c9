"""Pages of a long list by key: the next page begins after the last row shown, so no page costs more than the first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet, Subquery
from django.http import HttpRequest

PAGE_SIZE = 50
_LARGEST_KEY = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and where the pages before and after them are; no address where there is none."""

    rows: Sequence[Any]
    first_url: str
    next_url: str

    @property
    def text(self) -> str:
        """How many rows are shown, for the foot of the list."""
        return "1 row" if len(self.rows) == 1 else f"{len(self.rows)} rows"


def newest_first(
    rows: QuerySet[Any], request: HttpRequest, *, size: int = PAGE_SIZE, key: str = "pk", at: str = ""
) -> Page:
    """The rows before the key that `?before=` names, newest first; one statement, and no count of the table.

    `key` is a whole number that no two of the rows share. `at` names the moment by which the rows are in order before
    their key.
    """
    before = request.GET.get("before", "")
    after_first = before.isascii() and before.isdigit() and int(before) <= _LARGEST_KEY
    if after_first:
        rows = rows.filter(_older(rows, int(before), key, at) if at else Q(**{f"{key}__lt": int(before)}))
    found = list(rows.order_by(*([f"-{at}"] if at else []), f"-{key}")[: size + 1])
    shown = found[:size]
    return Page(
        rows=shown,
        first_url=with_query(request, before=None) if after_first else "",
        next_url=with_query(request, before=getattr(shown[-1], key)) if len(found) > size else "",
    )


def _older(rows: QuerySet[Any], before: int, key: str, at: str) -> Q:
    """What comes after that row in the order of `at`, then `key`; nothing where there is no such row."""
    mark = Subquery(rows.model._default_manager.filter(**{key: before}).values(at)[:1])
    # The first condition is for the index: it says where to begin.
    return Q(**{f"{at}__lte": mark}) & (Q(**{f"{at}__lt": mark}) | Q(**{f"{key}__lt": before}))


def with_query(request: HttpRequest, **changes: object) -> str:
    """The address of this page with some of its query changed; None takes a part away."""
    query = request.GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    encoded = query.urlencode()
    return f"{request.path}?{encoded}" if encoded else request.path
