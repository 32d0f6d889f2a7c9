"""The list pages that have saved views and exports: where each is, which rows it shows, and its columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse

from accounts.models import Membership
from accounts.roles import Permission
from opsdesk.lib.wording import plain, visible

# Texts are told from numbers by their type: only texts can be taken for a formula.
Value = str | int | Decimal | datetime | None
LONGEST_QUERY = 600


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an exported list."""

    key: str
    label: str
    value: Callable[[Any], Value]


@dataclass(frozen=True)
class ListPage:
    """One list: its page, the filters its address keeps, and its rows as a member may see them, newest first by key."""

    key: str
    label: str
    url_name: str
    icon: str
    permission: Permission
    filters: Sequence[str]
    rows: Callable[[Membership, QueryDict], QuerySet[Any]]
    columns: Sequence[Column]

    def kept(self, query: str) -> str:
        """Of a query only what this page filters by, in one order, so that the same filters are the same text."""
        asked = QueryDict(query[: 4 * LONGEST_QUERY])
        kept = QueryDict(mutable=True)
        for name in self.filters:
            value = asked.get(name, "").replace("\x00", "").strip()
            if value:
                kept[name] = value
        text = kept.urlencode()
        return text if len(text) <= LONGEST_QUERY else ""

    def url(self, query: str) -> str:
        """The page with these filters."""
        return f"{reverse(self.url_name)}?{query}" if query else reverse(self.url_name)

    def found(self, member: Membership, query: str) -> QuerySet[Any]:
        """The rows with these filters."""
        return self.rows(member, QueryDict(query))

    def in_words(self, query: str) -> str:
        """The filters as a sentence's end: “view late, reason returned”."""
        asked = QueryDict(query)
        parts = (f"{plain(name).lower()} {visible(asked[name], at_most=60)}" for name in self.filters if name in asked)
        return ", ".join(parts) or "no filters"

    def columns_of(self, keys: Sequence[str]) -> list[Column]:
        """Columns by their keys, in the order of the keys; those that are no longer known are left out."""
        known = {column.key: column for column in self.columns}
        return [known[key] for key in keys if key in known]


def asked_by(member: Membership) -> Any:
    """A member as filters see who asks: they are written for requests."""
    return SimpleNamespace(membership=member, user=member.user)


LISTS: dict[str, ListPage] = {}


def add_list(page: ListPage) -> None:
    """Have a list known by its key; the first one of a key stays."""
    LISTS.setdefault(page.key, page)
