"""What a forecast of a team's queue is made of, measured from its past: arrivals, handling, people, thresholds."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import mean, median

from django.db.models import Count, Q
from django.db.models.functions import TruncHour

from accounts.calendar import Hours, hours_of
from accounts.models import Membership, Organization, Team, User
from accounts.roles import Permission, roles_with
from approvals.absences import away_today
from approvals.forecast import Day, Hour
from approvals.models import Review, Stage, Vote
from approvals.states import ReviewState
from opsdesk.lib import clock
from opsdesk.lib.wording import lasted, span
from workflows.states import Tier

WEEKS = 4  # of the same weekday are looked back at
MOST_WAITING = 5_000
# Decisions of one person this close together were made one after the other.
AT_IT = timedelta(minutes=30)
LATEST_VOTES = 2_000
FEWEST_GAPS = 20
ASSUMED_HANDLING = timedelta(minutes=10)
WORKED_LATELY = timedelta(days=7)
_DECIDING = roles_with(Permission.DECIDE)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Queue:
    """A team whose votes full reviews wait for, at these places of the tier; with who may vote there."""

    team: Team
    places: Sequence[tuple[int, int]]  # settings, stage
    people: Sequence[User]
    due: timedelta  # business time a review has

    @property
    def waits_here(self) -> Q:
        """Full reviews that wait for this team."""
        here = Q(pk__in=[])
        for settings_id, stage in self.places:
            here |= Q(settings_id=settings_id, stage=stage)
        return here & Q(tier=Tier.FULL_REVIEW)


@dataclass(frozen=True, slots=True)
class Measured:
    """A day to be played, and how its figures came about."""

    queue: Queue
    day: Day
    now: datetime
    basis: str  # which days those are
    past: Sequence[tuple[date, Sequence[float]]]  # arrivals by hour on days like this one
    handling_known: int  # gaps it was measured from; 0: assumed
    on: Sequence[User]
    on_today: bool  # whether they decided something today, or only lately
    so_far: Sequence[tuple[datetime, int]]  # late reviews at the hours that have passed

    @property
    def waiting_words(self) -> str:
        """How many wait now."""
        count = len(self.day.waiting)
        return f"{count} review{'' if count == 1 else 's'}"

    @property
    def arrival_words(self) -> str:
        """What is expected to arrive in the rest of the day."""
        return f"about {round(sum(hour.arrivals for hour in self.day.hours))} more until the end of the day"

    @property
    def handling_words(self) -> str:
        """What one review takes a person."""
        return f"takes a person {lasted(self.day.handling)}"

    @property
    def handling_source(self) -> str:
        """Where that is from."""
        if not self.handling_known:
            return "assumed: too few decisions are known"
        return f"the middle of {self.handling_known} gaps between one person's decisions"

    @property
    def people_words(self) -> str:
        """Who is on."""
        return f"{len(self.on)} of {len(self.queue.people)}: {', '.join(map(str, self.on))}" if self.on else "nobody"

    @property
    def people_source(self) -> str:
        """Why they count."""
        return "they decided something today" if self.on_today else "they decided lately, or may decide"

    @property
    def due_words(self) -> str:
        """When what arrives is due."""
        return f"{span(self.queue.due)} of working time after it arrives"


def queues(membership: Membership) -> list[Queue]:
    """The teams that full reviews of the organization wait for, by name; in six statements at most."""
    stages = (
        Stage.objects.filter(tier__organization_id=membership.organization_id, tier__tier=Tier.FULL_REVIEW)
        .select_related("team", "tier")
        .prefetch_related("team__members", "more_teams__members")
        .order_by("tier", "position")
    )
    may = set(
        Membership.objects.filter(
            organization_id=membership.organization_id, role__in=_DECIDING, ended_at=None, user__is_active=True
        ).values_list("user_id", flat=True)
    )
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    teams: dict[int, tuple[Team, timedelta]] = {}
    position: dict[int, int] = defaultdict(int)
    for stage in stages:
        for team in {stage.team, *stage.more_teams.all()}:
            places[team.pk].append((stage.tier_id, position[stage.tier_id]))
            teams[team.pk] = (team, timedelta(minutes=stage.tier.due_minutes))
        position[stage.tier_id] += 1
    found = [
        Queue(team, places[key], [user for user in team.members.all() if user.pk in may], due)
        for key, (team, due) in teams.items()
    ]
    return sorted(found, key=lambda queue: queue.team.name)


def measure(queue: Queue, organization: Organization) -> Measured:
    """The rest of the organization's working day for one queue, in five statements."""
    now = clock.now()
    hours = hours_of(organization)
    stretches = rest_of_day(hours, now)
    basis, past = _past_days(queue, now, hours, [starts for starts, _ in stretches])
    votes = _latest_votes(queue)
    handling, known = _handling(votes)
    on, on_today = _who_is_on(queue, votes, now, hours)
    usual = [mean(counts[place] for _, counts in past) if past else 0.0 for place in range(len(stretches))]
    played = [
        # What is left of the first hour gets its part of what arrives in a whole one.
        Hour(starts, ends, len(on), count * ((ends - starts) / _HOUR), hours.add(starts, queue.due))
        for (starts, ends), count in zip(stretches, usual, strict=True)
    ]
    waiting = Review.objects.filter(queue.waits_here, organization=organization, state=ReviewState.OPEN)
    due = list(waiting.order_by("due_at").values_list("due_at", flat=True)[:MOST_WAITING])
    so_far = _so_far(queue, organization, hours, now)
    return Measured(queue, Day(due, played, handling), now, basis, past, known, on, on_today, so_far)


def rest_of_day(hours: Hours, now: datetime) -> list[tuple[datetime, datetime]]:
    """What is left of the working day in hours of the clock; nothing once it is over. Last night's shift counts."""
    today = now.astimezone(hours.zone).date()
    for day in (today - timedelta(days=1), today):
        span = hours.span_of(day)
        if span is not None and span[1] > now:
            return _cut(max(span[0], now), span[1])
    return []


def _cut(starts: datetime, closes: datetime) -> list[tuple[datetime, datetime]]:
    """At every full hour."""
    found = []
    while starts < closes:
        ends = min(starts.replace(minute=0, second=0, microsecond=0) + _HOUR, closes)
        found.append((starts, ends))
        starts = ends
    return found


def _past_days(
    queue: Queue, now: datetime, hours: Hours, starts: Sequence[datetime]
) -> tuple[str, list[tuple[date, Sequence[float]]]]:
    """What arrived in these hours on days like this one, and which days those are, in words.

    They are the same weekday of the last weeks; where the desk is younger, the days before; and on its first day what
    arrived so far.
    """
    today = now.astimezone(hours.zone).date()
    rows = (
        Review.objects.filter(
            organization_id=queue.team.organization_id,
            settings_id__in=[settings_id for settings_id, _ in queue.places],
            opened_at__gte=now - timedelta(weeks=WEEKS, days=1),
        )
        .order_by()
        .values(hour=TruncHour("opened_at", tzinfo=hours.zone))
        .annotate(arrived=Count("pk"))
    )
    arrived: Mapping[tuple[date, int], int] = {(row["hour"].date(), row["hour"].hour): row["arrived"] for row in rows}
    first = min((day for day, _ in arrived), default=today)
    wanted = [at.astimezone(hours.zone) for at in starts]
    same = [today - timedelta(weeks=week) for week in range(1, WEEKS + 1)]
    before = [today - timedelta(days=days) for days in range(1, 8)]
    for words, days in ((f"{today:%A}s", same), ("working days", before)):
        known = [day for day in days if day >= first and hours.span_of(day) is not None]
        if known:
            counted: list[tuple[date, Sequence[float]]] = [
                (day, [float(arrived.get((day + (at.date() - today), at.hour), 0)) for at in wanted]) for day in known
            ]
            return f"the last {len(known)} {words}" if len(known) > 1 else f"the last {words[:-1]}", counted
    count = sum(found for (day, _), found in arrived.items() if day == today)
    return "today so far", [(today, [count / _worked_today(hours, now)] * len(wanted))] if count else []


def _worked_today(hours: Hours, now: datetime) -> float:
    """How many hours of today's working time have passed; at least one."""
    span = hours.span_of(now.astimezone(hours.zone).date())
    return max((now - span[0]) / _HOUR, 1.0) if span is not None else 1.0


def _latest_votes(queue: Queue) -> list[tuple[int, datetime]]:
    votes = Vote.objects.filter(voter__in=[user.pk for user in queue.people], review__tier=Tier.FULL_REVIEW)
    return list(votes.order_by("-pk").values_list("voter_id", "cast_at")[:LATEST_VOTES])


def _handling(votes: Sequence[tuple[int, datetime]]) -> tuple[timedelta, int]:
    """What lies between two decisions of a person who is at it, in the middle; and from how many that is known."""
    gaps = gaps_of(votes)
    if len(gaps) < FEWEST_GAPS:
        return ASSUMED_HANDLING, 0
    middle = timedelta(seconds=median(gap.total_seconds() for gap in gaps))
    return max(middle, timedelta(seconds=10)), len(gaps)


def gaps_of(votes: Sequence[tuple[int, datetime]]) -> list[timedelta]:
    """The time between decisions that one person made one after the other."""
    after: dict[int, datetime] = {}
    gaps = []
    for voter, cast_at in sorted(votes, key=lambda vote: vote[1]):
        before = after.get(voter)
        if before is not None and cast_at - before <= AT_IT:
            gaps.append(cast_at - before)
        after[voter] = cast_at
    return gaps


def _who_is_on(
    queue: Queue, votes: Sequence[tuple[int, datetime]], now: datetime, hours: Hours
) -> tuple[Sequence[User], bool]:
    """Who decided something today; before anybody did, who did in the last days; else all who may and are not away."""
    away = away_today(queue.team.organization_id)
    here = [user for user in queue.people if user.pk not in away]
    midnight = now.astimezone(hours.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    for since, today in ((midnight, True), (now - WORKED_LATELY, False)):
        active = {voter for voter, cast_at in votes if cast_at >= since}
        if active:
            return [user for user in here if user.pk in active], today
    return here, False


def _so_far(queue: Queue, organization: Organization, hours: Hours, now: datetime) -> list[tuple[datetime, int]]:
    """How many reviews of the queue were late at each hour of today, and are now."""
    local = now.astimezone(hours.zone)
    span = hours.span_of(local.date())
    begins = span[0] if span is not None and span[0] < now else local.replace(hour=0, minute=0, second=0, microsecond=0)
    instants = [starts for starts, _ in _cut(begins, now)] + [now]
    settings = [settings_id for settings_id, _ in queue.places]
    rows = Review.objects.filter(
        Q(closed_at=None) | Q(closed_at__gte=begins),
        organization=organization, settings_id__in=settings, tier=Tier.FULL_REVIEW, due_at__lt=now,
    )  # fmt: skip
    counts = {
        f"late_{place}": Count("pk", filter=Q(due_at__lt=at) & (Q(closed_at=None) | Q(closed_at__gt=at)))
        for place, at in enumerate(instants)
    }
    found = rows.aggregate(**counts)
    return [(at, found[f"late_{place}"]) for place, at in enumerate(instants)]
