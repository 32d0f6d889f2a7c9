"""What would change a forecast: more people, a higher limit, the people of another team; each played through."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q

from accounts.models import User
from approvals.forecast import Day, Outcome, help_needed, play, with_arrivals, with_fewer, with_people
from approvals.forecasting import Measured, Queue
from approvals.models import Review, Threshold
from approvals.states import ReviewState
from opsdesk.lib.money import EXPONENTS, Money
from workflows.states import Tier, VersionState

MOST_PEOPLE = 4
# A limit is raised so far that about one in four reviews stays below it.
SHARE = 0.25
LATEST_AMOUNTS = 1_000
FEWEST_AMOUNTS = 20


@dataclass(frozen=True, slots=True)
class Lever:
    """One thing a manager could do, and what would come of it."""

    key: str
    label: str
    detail: str
    outcome: Outcome
    until: datetime | None = None
    place: str = ""  # what its link leads to: thresholds or team

    @property
    def late(self) -> int:
        """Reviews that would become late in the rest of the day."""
        return round(self.outcome.breaches)


@dataclass(frozen=True, slots=True)
class Forecast:
    """A queue's day as it goes, with its levers and how the days before would have gone."""

    measured: Measured
    outcome: Outcome
    levers: Sequence[Lever]
    days: Sequence[Outcome]  # with the arrivals of single past days

    @property
    def breaches(self) -> int:
        """How many will breach in the rest of the day."""
        return round(self.outcome.breaches)

    @property
    def ends_at(self) -> datetime:
        """When the working day ends."""
        return self.measured.day.hours[-1].ends

    @property
    def arrivals(self) -> int:
        """How many are expected to arrive in the rest of the day."""
        return round(sum(hour.arrivals for hour in self.measured.day.hours))


def forecast(measured: Measured, queues: Sequence[Queue], currency: str) -> Forecast:
    """Play a queue's day through as it goes and with each lever; two statements."""
    day = measured.day
    outcome = play(day)
    levers = [Lever("none", "Leave it", _left_over(outcome), outcome)]
    if outcome.breaches >= 0.5:
        levers = [_more_people(measured), *_raised_limit(measured, currency), *_other_teams(measured, queues), *levers]
    days = [play(with_arrivals(day, _parts(day, arrivals))) for _, arrivals in measured.past]
    return Forecast(measured, outcome, levers, days)


def _parts(day: Day, arrivals: Sequence[float]) -> list[float]:
    """Of whole hours: what falls into what is left of them."""
    return [count * (hour.length / timedelta(hours=1)) for hour, count in zip(day.hours, arrivals, strict=True)]


def _left_over(outcome: Outcome) -> str:
    waiting = round(outcome.points[-1].waiting) if outcome.points else 0
    return f"{waiting} wait{'s' if waiting == 1 else ''} at the end of the day"


def _more_people(measured: Measured) -> Lever:
    day = measured.day
    needed = help_needed(day, most=MOST_PEOPLE)
    people, hours = needed or (MOST_PEOPLE, len(day.hours))
    until = day.hours[hours - 1].ends
    outcome = play(with_people(day, people, hours=hours))
    more = "One more person" if people == 1 else f"{people} more people"
    worth = "The least with which nothing more becomes late" if needed else "Even so some become late"
    length = "" if hours == len(day.hours) else f" for {hours} hour{'' if hours == 1 else 's'}"
    return Lever("people", f"{more}{length}", worth, outcome, until)


def _raised_limit(measured: Measured, currency: str) -> list[Lever]:
    """The full-review limit so much higher that about a quarter of what came lately would not have come."""
    settings = [settings_id for settings_id, _ in measured.queue.places]
    amounts = sorted(
        amount or 0
        for amount in Review.objects.filter(settings_id__in=settings, tier=Tier.FULL_REVIEW, case__currency=currency)
        .order_by("-pk")
        .values_list("case__amount_minor", flat=True)[:LATEST_AMOUNTS]
    )
    if len(amounts) < FEWEST_AMOUNTS:
        return []
    limits = Threshold.objects.filter(
        policy__workflow__organization_id=measured.queue.team.organization_id,
        policy__state=VersionState.PUBLISHED, currency=currency, tier=Tier.FULL_REVIEW,
        reason="", segment="", channel="",
    )  # fmt: skip
    limit = limits.order_by("above_minor").values_list("above_minor", flat=True).first()
    raised = _round_up(amounts[int(len(amounts) * SHARE)], currency)
    if limit is None or raised <= limit:
        return []
    looked_at, below = len(amounts), sum(1 for amount in amounts if limit < amount <= raised)
    outcome = play(with_fewer(measured.day, below / looked_at))
    return [
        Lever(
            "limit",
            f"Full-review limit {Money(limit, currency)} to {Money(raised, currency)}",
            f"{below} of the last {looked_at} would not have come; needs a second person",
            outcome,
            place="thresholds",
        )
    ]


def _round_up(minor: int, currency: str) -> int:
    """To a whole amount that people would choose: two digits that count."""
    step = int(10 ** max(len(str(minor)) - 2, EXPONENTS[currency]))
    return minor + -minor % step


def _other_teams(measured: Measured, queues: Sequence[Queue]) -> list[Lever]:
    """The people of other teams who have nothing open."""
    inside = {user.pk for user in measured.queue.people}
    others = {user.pk: user for queue in queues for user in queue.people if user.pk not in inside}
    if not others:
        return []
    carry = Count("reviews_assigned", filter=Q(reviews_assigned__state=ReviewState.OPEN))
    free = set(User.objects.filter(pk__in=others).annotate(carry=carry).filter(carry=0).values_list("pk", flat=True))
    by_team: dict[str, list[str]] = defaultdict(list)
    for queue in queues:
        for user in queue.people:
            if user.pk in free:
                by_team[queue.team.name].append(str(user))
    day = measured.day
    return [
        Lever(
            f"team-{place}",
            f"{name} helps, {len(people)} {'person' if len(people) == 1 else 'people'}",
            f"{', '.join(people[:3])}{' and others' if len(people) > 3 else ''} have nothing open; "
            f"they join {measured.queue.team.name} first",
            play(with_people(day, len(people), hours=len(day.hours))),
            place="team",
        )
        for place, (name, people) in enumerate(sorted(by_team.items()))
    ]
