"""The piles of the home page: what is wrong, what waits for me, what is late, what leaves soon, what failed."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, Min, OuterRef, Q, Sum
from django.db.models.functions import Now

from accounts.models import Membership
from accounts.roles import Permission
from approvals.models import Review, Stage
from opsdesk.lib.money import Money
from workflows.alerts import title_of
from workflows.models import Alert, Case, Failure
from workflows.states import CaseState, RunState, Tier

SHOWN = 4
_FULL = Q(tier=Tier.FULL_REVIEW)
_LATE = _FULL & Q(due_at__lt=Now())
_LEAVING = Q(tier=Tier.FAST_TRACK)
_STOPPED = Q(items__repaired_at=None, items__run__state=RunState.FAILED)


@dataclass
class Pile:
    """How many, how much a currency, and the first few."""

    count: int = 0
    minor: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    rows: Iterable[Any] = ()

    @property
    def sums(self) -> list[Money]:
        """The amounts, one a currency."""
        return [Money(minor, currency) for currency, minor in sorted(self.minor.items()) if currency and minor]

    def add(self, count: int, currency: str, minor: int | None) -> None:
        """Take in the total of one currency."""
        self.count += count
        self.minor[currency] += minor or 0


@dataclass
class Reviews:
    """The piles of reviews, who is asked next, and how many wait altogether."""

    mine: Pile
    late: Pile
    leaving: Pile
    first_due: datetime | None
    unstarted: int
    waiting: int
    next: Review | None
    # Whether this person may vote on the next one; others may look at it.
    mine_next: bool = False


def alerts(member: Membership) -> list[Alert]:
    """What is wrong with the desk itself, and has nobody yet first; each with the title of its kind."""
    found = Alert.objects.visible_to(member).open().select_related("acknowledged_by")
    rows = list(found.order_by(F("acknowledged_at").asc(nulls_first=True), "pk")[:SHOWN])
    for alert in rows:
        alert.title = title_of(alert.kind)  # type: ignore[attr-defined]
    return rows


def reviews(member: Membership) -> Reviews:
    """What waits for people, in at most four statements."""
    open_now = Review.objects.visible_to(member).open()
    mine = _FULL & Q(assignee_id=member.user_id)
    found = Reviews(Pile(), Pile(), Pile(), None, 0, 0, None)
    for row in _totals(open_now, mine):
        for name in ("mine", "late", "leaving"):
            getattr(found, name).add(row[f"{name}_count"], row["currency"], row[f"{name}_minor"])
        found.waiting += row["waiting"]
        found.unstarted += row["unstarted"]
        due = row["first_due"]
        found.first_due = min(due, found.first_due) if due and found.first_due else due or found.first_due
    if found.mine.count:
        found.mine.rows = open_now.for_queue().filter(mine)[:SHOWN]
    if found.leaving.count:
        found.leaving.rows = open_now.leaving()[:SHOWN]
    # The queue's own order: what is late stands first in it.
    in_team = Q(team__members=member.user_id) | Q(more_teams__members=member.user_id)
    asked = Exists(Stage.objects.filter(in_team, tier=OuterRef("settings")))
    urgent = list(open_now.for_queue().annotate(asked=asked)[:SHOWN]) if found.waiting else []
    found.late.rows = urgent[: found.late.count]
    if member.may(Permission.DECIDE):
        votable = [*found.mine.rows, *(row for row in urgent if row.asked)]
        found.next, found.mine_next = next(iter([*votable, *urgent]), None), bool(votable)
    return found


def _totals(open_now: Any, mine: Q) -> Any:
    def total(name: str, which: Q) -> dict[str, Any]:
        amounts = Sum("case__amount_minor", filter=which)
        return {f"{name}_count": Count("pk", filter=which), f"{name}_minor": amounts}

    return (
        open_now.order_by()
        .values(currency=F("case__currency"))
        .annotate(
            **total("mine", mine),
            **total("late", _LATE),
            **total("leaving", _LEAVING),
            first_due=Min("due_at", filter=mine),
            unstarted=Count("pk", filter=_LEAVING & Q(objection_ends_at=None)),
            waiting=Count("pk"),
        )
    )


@dataclass(frozen=True, slots=True)
class Failures:
    """The failures somebody has to look at."""

    groups: int
    runs: int
    ownerless: int
    rows: Iterable[Any]


def failures(member: Membership) -> Failures:
    """Failures that nobody chose to ignore, and the last of them, in at most two statements."""
    pressing = Failure.objects.visible_to(member).pressing()
    totals = pressing.aggregate(
        groups=Count("pk", distinct=True),
        ownerless=Count("pk", distinct=True, filter=Q(owner=None)),
        runs=Count("items", filter=_STOPPED),
    )
    rows: Iterable[Any] = ()
    if totals["groups"]:
        counted = pressing.annotate(stopped=Count("items", filter=_STOPPED))
        rows = counted.select_related("owner").order_by("-last_at", "-pk")[:SHOWN]
    return Failures(totals["groups"], totals["runs"], totals["ownerless"], rows)


@dataclass(frozen=True, slots=True)
class OpenCases:
    """How many cases are open, and how many of them need repair."""

    open: int
    failed: int


def open_cases(member: Membership) -> OpenCases:
    """Cases that somebody or something still has to finish."""
    counted = (
        Case.objects.visible_to(member)
        .open()
        .order_by()
        .aggregate(open=Count("pk"), failed=Count("pk", filter=Q(state=CaseState.FAILED)))
    )
    return OpenCases(counted["open"], counted["failed"])
