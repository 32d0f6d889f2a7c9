"""What waits in an organization, in groups, each thing against what nine in ten of its sort stayed within."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from accounts.models import Membership, User
from opsdesk.lib.money import Money
from opsdesk.lib.wording import lasted, span
from opsdesk.screens.usual import SAMPLE, NineTenthsOf
from workflows.waits import Look, Waiting, WaitingKind, rows_of, waiting_kinds

MOST = 200  # rows of one kind that are looked at, the longest waiting first
LATELY = timedelta(days=30)
SHOWN = 20  # rows a kind, unless only that kind is asked for
DESK, NOBODY = "desk", "nobody"
# In this order where two groups are equally far beyond normal; what other rooms add comes after.
_ORDER = (
    "money",
    "breakers",
    "differences",
    "runs",
    "reviews",
    "windows",
    "questions",
    "notices",
    "failures",
    "events",
    "payments",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing with its age and what is usual; `known` says that this was measured."""

    waiting: Waiting
    age: timedelta
    usual: timedelta
    known: bool

    @property
    def beyond(self) -> float:
        """How many times the usual it has waited."""
        return self.age / max(self.usual, timedelta(milliseconds=1))

    @property
    def owner_key(self) -> str:
        """Whose it is, as the filter names it."""
        if self.waiting.owner is not None:
            return str(self.waiting.owner.pk)
        return DESK if self.waiting.by_desk else NOBODY

    @property
    def usual_words(self) -> str:
        """What is usual, also where that is less than a second; where too few finished, what it should take."""
        return f"normal {lasted(self.usual)}" if self.known else f"at most {lasted(self.usual)}"

    @property
    def label(self) -> str:
        """The bar in words."""
        return f"waits {span(self.age)}, {self.usual_words}"


@dataclass(frozen=True, slots=True)
class Group:
    """All of one kind, the most over usual first."""

    kind: WaitingKind
    rows: Sequence[Row]

    @property
    def count(self) -> int:
        """How many were found."""
        return len(self.rows)

    @property
    def shown(self) -> Sequence[Row]:
        """The first rows."""
        return self.rows[:SHOWN]

    @property
    def beyond(self) -> float:
        """How far its worst row is beyond normal."""
        return max(row.beyond for row in self.rows)

    @property
    def sums(self) -> list[Money]:
        """What the rows are about, one sum a currency."""
        minor: dict[str, int] = defaultdict(int)
        for amount in (row.waiting.amount for row in self.rows):
            if amount is not None:
                minor[amount.currency] += amount.minor
        return [Money(total, currency) for currency, total in sorted(minor.items())]


def groups(look: Look) -> list[Group]:
    """Every kind of which something waits, the farthest beyond normal first.

    One statement a kind, and one for what is usual, however many rows there are.
    """
    found = [(kind, [kind.tell(row, look) for row in rows_of(kind, look)[:MOST]]) for kind in waiting_kinds()]
    usual = _usual(look, found)
    listed = [_group(kind, things, usual, look) for kind, things in found if things]
    return sorted(listed, key=lambda group: (-group.beyond, _place(group.kind)))


def _place(kind: WaitingKind) -> int:
    return _ORDER.index(kind.key) if kind.key in _ORDER else len(_ORDER)


def _group(kind: WaitingKind, found: Sequence[Waiting], usual: Mapping[tuple[str, str], Any], look: Look) -> Group:
    rows = []
    for each in found:
        lately = usual.get((kind.key, each.sort))
        age = max(look.now - each.since, timedelta(0))
        rows.append(Row(each, age, lately or kind.limit, known=lately is not None))
    return Group(kind, sorted(rows, key=lambda row: row.beyond, reverse=True))


def _usual(look: Look, found: Sequence[tuple[WaitingKind, Sequence[Waiting]]]) -> dict[tuple[str, str], Any]:
    """What nine in ten of each sort that was found stayed within, of those that finished lately, in one statement."""
    since = look.now - LATELY
    samples: dict[tuple[str, str], NineTenthsOf] = {}
    for kind, things in found:
        if kind.took is not None:
            for sort in {each.sort for each in things}:
                samples[kind.key, sort] = NineTenthsOf(kind.took(look.member, since, sort)[:SAMPLE])
    if not samples:
        return {}
    named = {f"usual_{place}": sample for place, sample in enumerate(samples.values())}
    row = Membership.objects.filter(pk=look.member.pk).values(**named).get()
    return dict(zip(samples, row.values(), strict=True))


def owners(found: Sequence[Group]) -> list[tuple[str, str]]:
    """Everybody something waits for: key and name, the desk and nobody among them."""
    people: dict[str, User] = {}
    keys = set()
    for row in (row for group in found for row in group.rows):
        keys.add(row.owner_key)
        if row.waiting.owner is not None:
            people[row.owner_key] = row.waiting.owner
    named = sorted(((key, str(user)) for key, user in people.items()), key=lambda item: item[1])
    return [*((key, key) for key in (NOBODY, DESK) if key in keys), *named]


def every_row(look: Look) -> QuerySet[Any]:
    """The rows of all kinds together, to be counted."""
    first, *more = (rows_of(kind, look).order_by().values("pk") for kind in waiting_kinds())
    return first.union(*more, all=True)
