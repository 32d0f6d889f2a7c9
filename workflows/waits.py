"""What waits, told by the room it belongs to: each registers its kinds, and one board shows all of them.

A kind says which rows wait, tells one of them in words, and gives a sample of how long such things took.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from accounts.models import Membership, User
from opsdesk.lib.money import Money

# What takes less than this is on its way.
GRACE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Help:
    """The one next step: a page to open, or, where it `posts`, something done by the page of that address."""

    label: str
    url: str
    posts: bool = False
    reason: str = ""  # sent with it, where the page asks why


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that waits. `owner` is a person, or None for nobody; `by_desk` says that the desk goes on with it."""

    title: str
    url: str
    detail: str
    reason: str
    since: datetime
    help: Help
    sort: str = ""  # things of one sort are compared with each other
    owner: User | None = None
    by_desk: bool = False
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Who looks, when, and whether at everything that waits or only at what waits longer than it should."""

    member: Membership
    now: datetime
    everything: bool = False


@dataclass(frozen=True, slots=True)
class WaitingKind:
    """A sort of waiting. `limit` is what it should take at most, until enough of it finished to know better."""

    key: str
    label: str
    icon: str
    limit: timedelta
    rows: Callable[[Look], QuerySet[Any]]  # the longest waiting first
    tell: Callable[[Any, Look], Waiting]
    # How long those of a sort took that finished since then: rows with `took`, the newest first.
    took: Callable[[Membership, datetime, str], QuerySet[Any, Any]] | None = None


@dataclass
class _Registry:
    kinds: dict[str, WaitingKind] = field(default_factory=dict)
    told_elsewhere: dict[str, list[Callable[[], Q]]] = field(default_factory=dict)


_registered = _Registry()


def add_waiting_kind(kind: WaitingKind) -> None:
    """Have the board show one more kind of waiting."""
    if _registered.kinds.setdefault(kind.key, kind) is not kind:
        raise ValueError(f"The kind of waiting {kind.key} is registered twice.")


def tell_elsewhere(key: str, which: Callable[[], Q]) -> None:
    """Leave rows of a lower room's kind out, because a kind of one's own tells more of them."""
    _registered.told_elsewhere.setdefault(key, []).append(which)


def waiting_kinds() -> Iterable[WaitingKind]:
    """Every kind that was registered, the rooms below first."""
    return tuple(_registered.kinds.values())


def rows_of(kind: WaitingKind, look: Look) -> QuerySet[Any]:
    """The rows of a kind that wait, without those that another kind tells."""
    rows = kind.rows(look)
    for which in _registered.told_elsewhere.get(kind.key, ()):
        rows = rows.exclude(which())
    return rows
