"""What the desk did by itself today, in the organization's day: counted from finished cases, nothing estimated."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Aggregate, Count, DurationField, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from accounts.models import Membership
from approvals.models import Vote
from integrations.models import Action
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from opsdesk.lib.wording import lasted
from opsdesk.screens import charts
from workflows.models import Case, Correction, Event, FailureItem
from workflows.states import CaseState, Tier

# Upper edges of the columns from request to verified; the last column holds what took longer.
EDGES = (1, 2, 5, 10, 20, 30, 60, 300, 1_800, 7_200)
_EDGE_NAMES = {0: "1 s", 3: "10 s", 6: "1 min", 8: "30 min"}
_TONES = {Tier.INSTANT: "c1", Tier.FAST_TRACK: "c2", Tier.FULL_REVIEW: "c3"}


class Median(Aggregate):
    """The middle of a set of durations."""

    function = "percentile_cont"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


@dataclass(frozen=True, slots=True)
class Today:
    """The figures of the day and their charts; counts are of cases."""

    since: datetime
    finished: int
    by_desk: int
    hours: charts.Chart
    sent: list[Money]
    refunds: int
    tiers: charts.Chart
    verified: int
    median: str
    took: charts.Chart

    @property
    def share(self) -> int:
        """Cases without a person, in per cent of all that finished."""
        return round(100 * self.by_desk / self.finished) if self.finished else 0


def look(member: Membership) -> Today:
    """The day so far, in three statements over the cases that closed today."""
    now = timezone.localtime(clock.now())
    since = now.replace(hour=0, minute=0, second=0, microsecond=0)
    desk, people = _finished(member, since)
    columns = [(desk[hour], people[hour]) for hour in range(24)]
    sent, refunds, rows = _sent(member, since)
    counts, median = _took(member, since)
    return Today(
        since=since,
        finished=sum(desk.values()) + sum(people.values()),
        by_desk=sum(desk.values()),
        hours=charts.stacked(
            columns,
            names={hour: f"{hour:02d}:00" for hour in range(0, 24, 4)},
            now=now.hour + now.minute / 60,
            told=", ".join(
                f"{hour:02d}:00 {by_desk} by the desk and {with_people} with people"
                for hour, (by_desk, with_people) in enumerate(columns)
                if by_desk or with_people
            ),
        ),
        sent=sent,
        refunds=refunds,
        tiers=charts.across(rows),
        verified=sum(counts),
        median=lasted(median) if median is not None else "",
        took=charts.histogram(counts, names=_EDGE_NAMES, told=_told(counts)),
    )


def _told(counts: Sequence[int]) -> str:
    """The columns in words."""
    names = [f"up to {lasted(timedelta(seconds=edge))}" for edge in EDGES] + ["longer"]
    return ", ".join(f"{count} {name}" for count, name in zip(counts, names, strict=True) if count)


def _finished(member: Membership, since: datetime) -> tuple[dict[int, int], dict[int, int]]:
    """Cases by the hour they finished in: without a person, and with one who voted, corrected or repaired."""
    touched = (
        Exists(Vote.objects.filter(review__case=OuterRef("pk"), withdrawn_at=None))
        | Exists(Correction.objects.filter(case=OuterRef("pk")))
        | Exists(FailureItem.objects.filter(run__case=OuterRef("pk"), repaired_at__isnull=False))
    )
    rows = (
        Case.objects.visible_to(member)
        .filter(closed_at__gte=since, state__in=[CaseState.DONE, CaseState.REJECTED])
        .annotate(touched=touched)
        .order_by()
        .values("touched", hour=TruncHour("closed_at", tzinfo=since.tzinfo))
        .annotate(cases=Count("pk"))
    )
    desk: dict[int, int] = defaultdict(int)
    people: dict[int, int] = defaultdict(int)
    for row in rows:
        side = people if row["touched"] else desk
        side[timezone.localtime(row["hour"]).hour] += row["cases"]
    return desk, people


def _verified(member: Membership, since: datetime) -> QuerySet[Action]:
    done = Q(case__closed_at__gte=since, case__state=CaseState.DONE, state=ActionState.VERIFIED)
    return Action.objects.visible_to(member).filter(done, case__organization_id=member.organization_id).order_by()


def _sent(member: Membership, since: datetime) -> tuple[list[Money], int, list[tuple[str, int, str]]]:
    """What went out and was seen at the gateway: one sum a currency, and by tier in the organization's currency."""
    rows = (
        _verified(member, since)
        .values("currency", tier=F("authorization__decision__tier"))
        .annotate(minor=Sum("amount_minor"), refunds=Count("pk"))
    )
    own = member.organization.currency
    sums: dict[str, int] = defaultdict(int)
    tiers: dict[str, int] = defaultdict(int)
    refunds = 0
    for row in rows:
        sums[row["currency"]] += int(row["minor"])
        refunds += row["refunds"]
        if row["currency"] == own:
            tiers[row["tier"]] += int(row["minor"])
    sent = [Money(minor, currency) for currency, minor in sorted(sums.items(), key=lambda item: item[0] != own)]
    return (
        sent,
        refunds,
        [(tone, tiers[tier], f"{Money(tiers[tier], own)} {tier.label}") for tier, tone in _TONES.items()],
    )


def _took(member: Membership, since: datetime) -> tuple[list[int], timedelta | None]:
    """From the arrival of the request to its refund seen at the gateway: cases a column, and the middle one."""
    arrived = Event.objects.filter(case=OuterRef("case")).order_by("pk").values("received_at")[:1]
    timed = _verified(member, since).annotate(took=F("verified_at") - Subquery(arrived))
    below = {f"to_{edge}": Count("pk", filter=Q(took__lte=timedelta(seconds=edge))) for edge in EDGES}
    row = timed.aggregate(median=Median("took"), timed=Count("took"), **below)
    reached = [row[f"to_{edge}"] for edge in EDGES] + [row["timed"]]
    counts = [after - before for before, after in zip([0, *reached], reached, strict=False)]
    return counts, row["median"]
