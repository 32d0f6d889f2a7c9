"""Open reviews as a manager looks at them: by trouble, by person and by team."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Count, Min, Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Membership, Team, User
from accounts.roles import GRANTS, Permission
from approvals import terms, voters
from approvals.models import Review, Stage
from approvals.models.reviews import ReviewQuerySet
from approvals.stages import AskedStage
from opsdesk.lib import clock
from opsdesk.lib.counting import counts_of
from workflows.models import Correction
from workflows.states import Tier

MOST = 100
CAP = 999
SOON = timedelta(minutes=60)
_DECIDING = [role for role, granted in GRANTS.items() if Permission.DECIDE in granted]
# A review stands once, under the first of these that holds.
GROUPS = {
    "blocked": "Nobody may decide them",
    "late": "Past due",
    "escalated": "Escalated",
    "soon": "Due within the hour",
}


@dataclass
class Row:
    """One review in trouble, and who could take it."""

    review: Review
    group: str
    team: AskedStage | None
    takers: list[User]


@dataclass
class Load:
    """What one person or team carries."""

    name: str
    open: int = 0
    late: int = 0
    oldest: datetime | None = None
    done: int = 0
    user: User | None = field(default=None)

    def add(self, count: Mapping[str, Any]) -> None:
        """Put the figures of one group of reviews on top."""
        self.open += count["open"]
        self.late += count["late"]
        self.oldest = min(filter(None, [self.oldest, count["oldest"]]), default=None)

    @property
    def age(self) -> timedelta | None:
        return clock.now() - self.oldest if self.oldest else None

    @property
    def words(self) -> str:
        """The figure for those who do not see the bar."""
        return f"{self.open} open"

    @property
    def of_a_person(self) -> bool:
        return self.user is not None


class Board:
    """Everything on the page of escalations; each part is read once, and none grows with the table."""

    def __init__(self, membership: Membership) -> None:
        self.membership = membership
        self.now = clock.now()

    @property
    def late_tone(self) -> str:
        return "danger" if self.counts["late_now"] else "ok"

    @property
    def blocked_tone(self) -> str:
        return "danger" if self.counts["blocked"] else ""

    @property
    def is_cut(self) -> bool:
        """Whether more reviews are in trouble than the page shows."""
        return len(self.rows) == MOST

    @property
    def _open(self) -> ReviewQuerySet:
        """Reviews that wait for people; a fast-track case whose clock runs leaves by itself."""
        leaving = Q(tier=Tier.FAST_TRACK, objection_ends_at__isnull=False)
        return Review.objects.visible_to(self.membership).open().exclude(leaving)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many reviews are in each kind of trouble; one can be in several."""
        kinds = {
            "late_now": self._open.late(),
            "soon": self._open.filter(due_at__gte=Now(), due_at__lt=self.now + SOON),
            "escalated": self._open.filter(escalated_at__isnull=False, blocked_reason=""),
            "blocked": self._open.exclude(blocked_reason=""),
            "open": self._open,
        }
        return counts_of(self.membership, CAP, kinds)

    @cached_property
    def _stages(self) -> dict[int, list[Stage]]:
        """The stages of every tier, in order."""
        found: dict[int, list[Stage]] = {}
        rows = Stage.objects.filter(tier__organization_id=self.membership.organization_id).select_related("team")
        for stage in rows.order_by("tier", "position"):
            found.setdefault(stage.tier_id, []).append(stage)
        return found

    @cached_property
    def _members(self) -> dict[int, set[int]]:
        """The people of every team, by keys."""
        found: dict[int, set[int]] = defaultdict(set)
        rows = Team.members.through.objects.filter(team__organization_id=self.membership.organization_id)
        for team_id, user_id in rows.values_list("team_id", "user_id"):
            found[team_id].add(user_id)
        return found

    def _team_of(self, tier_id: int, stage: int) -> Team | None:
        stages = self._stages.get(tier_id, [])
        return stages[stage].team if stage < len(stages) else None

    @cached_property
    def people(self) -> list[User]:
        """Everybody who may decide."""
        members = User.objects.filter(
            is_active=True,
            memberships__organization_id=self.membership.organization_id,
            memberships__ended_at=None,
            memberships__role__in=_DECIDING,
        )
        return list(members.order_by("first_name", "last_name", "pk"))

    @cached_property
    def rows(self) -> list[Row]:
        """The reviews in trouble, by due time."""
        trouble = Q(due_at__lt=self.now + SOON) | Q(escalated_at__isnull=False) | ~Q(blocked_reason="")
        related = ("case__requested_by_user", "assignee", "settings")
        reviews = list(self._open.filter(trouble).select_related(*related).order_by("due_at", "pk")[:MOST])
        barred, stages = self._barred(reviews), terms.stages_of_each(reviews)
        return [self._row(review, barred.get(review.case_id, set()), stages[review.pk]) for review in reviews]

    def _barred(self, reviews: Iterable[Review]) -> dict[int, set[str]]:
        """Keys of the people who changed each case, or asked for it."""
        found: dict[int, set[str]] = {}
        for review in reviews:
            if review.case.requested_by_user is not None:
                found.setdefault(review.case_id, set()).add(voters.person_key(review.case.requested_by_user))
        cases = {review.case_id: {review.case_id} for review in reviews}
        behind = voters.cases_behind([review.run_id for review in reviews])
        for review in reviews:
            for case_id in behind.get(review.run_id, ()):
                cases.setdefault(case_id, set()).add(review.case_id)
        for correction in Correction.objects.filter(case_id__in=cases).select_related("user"):
            for case_id in cases[correction.case_id]:
                found.setdefault(case_id, set()).add(voters.person_key(correction.user))
        return found

    def _row(self, review: Review, barred: set[str], stages: list[AskedStage]) -> Row:
        team = stages[review.stage] if review.stage < len(stages) else None
        in_team = {user for each in team.team_ids for user in self._members[each]} if team is not None else set()
        takers = [
            user
            for user in self.people
            if user.pk in in_team and user.pk != review.assignee_id and voters.person_key(user) not in barred
        ]
        return Row(review, self._group_of(review), team, takers)

    def _group_of(self, review: Review) -> str:
        if review.blocked_reason:
            return "blocked"
        if review.due_at < self.now:
            return "late"
        return "escalated" if review.escalated_at else "soon"

    @property
    def groups(self) -> list[tuple[str, str, list[Row]]]:
        """The rows under their headings; empty groups are left out."""
        grouped = [(key, label, [row for row in self.rows if row.group == key]) for key, label in GROUPS.items()]
        return [group for group in grouped if group[2]]

    @property
    def stamp(self) -> str:
        """Changes when a row comes, goes, moves to another group or to another person."""
        seen = [(row.review.pk, row.group, row.review.assignee_id) for row in self.rows]
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]

    @cached_property
    def _figures(self) -> list[dict[str, Any]]:
        late = Count("pk", filter=Q(due_at__lt=Now()))
        grouped = self._open.order_by().values("settings_id", "stage", "assignee_id")
        counted = grouped.annotate(open=Count("pk"), late=late, oldest=Min("opened_at"))
        return [dict(count) for count in counted]

    @cached_property
    def loads(self) -> list[Load]:
        """What each person carries and has decided today, and what nobody has."""
        loads = {user.pk: Load(str(user), user=user) for user in self.people}
        nobody = Load("Nobody")
        for count in self._figures:
            loads.get(count["assignee_id"], nobody).add(count)
        midnight = timezone.localtime(self.now).replace(hour=0, minute=0, second=0, microsecond=0)
        decided = Review.objects.visible_to(self.membership).filter(closed_at__gte=midnight, decided_by__in=loads)
        for user_id, done in decided.order_by().values_list("decided_by").annotate(done=Count("pk")):
            loads[user_id].done = done
        return [*loads.values(), nobody] if nobody.open else list(loads.values())

    @cached_property
    def teams(self) -> list[Load]:
        """What waits for each team."""
        loads: dict[str, Load] = {}
        for count in self._figures:
            team = self._team_of(count["settings_id"], count["stage"])
            name = team.name if team is not None else "No team"
            loads.setdefault(name, Load(name)).add(count)
        return [loads[name] for name in sorted(loads)]

    @cached_property
    def mean(self) -> float:
        """What one person carries on average."""
        people = [load.open for load in self.loads if load.user is not None]
        return sum(people) / len(people) if people else 0.0
