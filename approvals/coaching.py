"""How people decide, for the talk between them and their manager: loads, ages, time and verdicts that did not stand.

It is no ranking: people stand in the order of their names, each beside the middle of all, and no figure is a target.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from statistics import median
from typing import Any

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet

from accounts.models import Membership, User
from accounts.roles import Permission, roles_with
from accounts.veils import unveiled
from approvals.forecasting import gaps_of
from approvals.models import Review, Vote
from approvals.states import ReviewState, Verdict
from opsdesk.lib import clock

PERIODS = (7, 28, 90)  # days
MOST_VOTES = 20_000
MOST_SHOWN = 30
# Fewer decisions say nothing about a person.
FEWEST = 5
_DECIDING = roles_with(Permission.DECIDE)


@dataclass
class Work:
    """What one person has open and did in a period."""

    user: User
    open: int = 0
    late: int = 0
    oldest: datetime | None = None
    decided: int = 0
    approved: int = 0
    overturned: int = 0
    taken_back: int = 0
    gaps: Sequence[timedelta] = field(default_factory=list)

    @property
    def age(self) -> timedelta | None:
        """How long the oldest has waited."""
        return clock.now() - self.oldest if self.oldest else None

    @property
    def handling(self) -> timedelta | None:
        """The middle time from one decision to the next, while at it; None where too few are known."""
        if len(self.gaps) < FEWEST:
            return None
        return timedelta(seconds=median(gap.total_seconds() for gap in self.gaps))

    @property
    def approves(self) -> int | None:
        """Approvals in a hundred decisions; None where too few are known."""
        return round(100 * self.approved / self.decided) if self.decided >= FEWEST else None


@dataclass(frozen=True, slots=True)
class Middle:
    """The middle of all people who decided something, so that a figure can be placed."""

    decided: float
    handling: timedelta | None
    approves: float | None
    overturned: float


class Coaching:
    """The page's figures; four statements, however many people and votes."""

    def __init__(self, membership: Membership, days: int) -> None:
        self.membership = membership
        self.days = days
        self.since = clock.now() - timedelta(days=days)

    @cached_property
    def people(self) -> list[Work]:
        """Everybody who may decide, and whoever decided in the period, by name."""
        votes = list(
            overturned(self._votes)
            .order_by("-pk")
            .values_list("voter_id", "verdict", "cast_at", "withdrawn_at", "overturned")[:MOST_VOTES]
        )
        users = User.objects.filter(
            Q(pk__in={vote[0] for vote in votes})
            | Q(
                is_active=True,
                memberships__organization_id=self.membership.organization_id,
                memberships__ended_at=None,
                memberships__role__in=_DECIDING,
            )
        ).distinct()
        works = {user.pk: Work(user) for user in users.order_by("first_name", "last_name", "pk")}
        cast: dict[int, list[tuple[int, datetime]]] = defaultdict(list)
        for voter, verdict, cast_at, withdrawn_at, was_overturned in votes:
            work = works[voter]
            cast[voter].append((voter, cast_at))
            if withdrawn_at is not None:
                work.taken_back += 1
                continue
            work.decided += 1
            work.approved += verdict == Verdict.APPROVE
            work.overturned += was_overturned
        for voter, mine in cast.items():
            works[voter].gaps = gaps_of(mine)
        self._add_open(works)
        return list(works.values())

    def _add_open(self, works: dict[int, Work]) -> None:
        now = clock.now()
        carried = Review.objects.visible_to(self.membership).filter(state=ReviewState.OPEN, assignee__in=works)
        counted = carried.order_by().values("assignee_id").annotate(
            open=Count("pk"), late=Count("pk", filter=Q(due_at__lt=now)), oldest=Min("opened_at")
        )  # fmt: skip
        for row in counted:
            work = works[row["assignee_id"]]
            work.open, work.late, work.oldest = row["open"], row["late"], row["oldest"]

    @property
    def _votes(self) -> QuerySet[Vote]:
        votes = Vote.objects.filter(review__organization_id=self.membership.organization_id, cast_at__gte=self.since)
        return unveiled(votes, self.membership, "review__case")

    @property
    def middle(self) -> Middle:
        """The middle of all who decided something in the period."""
        working = [work for work in self.people if work.decided]
        times = [work.handling.total_seconds() for work in working if work.handling is not None]
        shares = [work.approves for work in working if work.approves is not None]
        return Middle(
            decided=median(work.decided for work in working) if working else 0,
            handling=timedelta(seconds=median(times)) if times else None,
            approves=median(shares) if shares else None,
            overturned=median(work.overturned for work in working) if working else 0,
        )

    def overturned_of(self, user_id: int) -> QuerySet[Any]:
        """A person's verdicts that another person contradicted, the newest first."""
        votes = overturned(self._votes).filter(voter_id=user_id, withdrawn_at=None, overturned=True)
        return votes.select_related("review__case", "reason_code", "voter").order_by("-pk")[:MOST_SHOWN]


def overturned(votes: QuerySet[Vote]) -> QuerySet[Any]:
    """Each with `overturned`: somebody else decided the same case the other way afterwards, and that stands."""
    later = Vote.objects.filter(review__case=OuterRef("review__case"), withdrawn_at=None, pk__gt=OuterRef("pk"))
    against = later.exclude(voter=OuterRef("voter")).exclude(verdict=OuterRef("verdict"))
    return votes.annotate(overturned=Exists(against))
