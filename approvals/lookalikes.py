"""Cases that look alike and were decided differently: for talking about, not for changing anything.

Two cases look alike when the reason, the kind of customer and the band of the amount are the same. Each pair says what
is the same, and which facts differ: one of them may explain the difference.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from accounts.models import Membership
from approvals import bands
from approvals.models import Review
from approvals.states import ReviewState
from opsdesk.lib import clock
from opsdesk.lib.money import EXPONENTS, Money
from opsdesk.lib.wording import plain
from workflows.facts import catalogue, in_words, value_of
from workflows.states import Tier

LOOKED_BACK = timedelta(days=90)
MOST_REVIEWS = 1_000
MOST_PAIRS = 60
MOST_DIFFERENCES = 4
# Edges of the bands in whole units of a currency; the last one is open.
BANDS = (0, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
NEW, LONG = 90, 365  # days since the first order
# What every case has in its own way says nothing about why it was decided.
_OF_EACH = frozenset({"amount", "currency", "request.reason"})


@dataclass(frozen=True, slots=True)
class Alike:
    """What the cases of a pair have in common."""

    reason: str
    segment: str
    currency: str
    band: int

    @property
    def words(self) -> str:
        """The same for people: “Damaged, customer for over a year, £25 to £50”."""
        return f"{plain(self.reason) or 'No reason'}, {self.segment}, {self.band_words}"

    @property
    def band_words(self) -> str:
        """The amounts between which both lie."""
        unit = 10 ** EXPONENTS[self.currency]
        lower = Money(BANDS[self.band] * unit, self.currency)
        if self.band + 1 == len(BANDS):
            return f"above {lower}"
        return f"{lower} to {Money(BANDS[self.band + 1] * unit, self.currency)}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact in which two cases differ, in words."""

    label: str
    approved: str
    rejected: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cases that look alike, one approved and one rejected."""

    alike: Alike
    approved: Review
    rejected: Review
    differences: Sequence[Difference]

    @property
    def same_person(self) -> bool:
        """Whether one person decided both."""
        return self.approved.decided_by_id == self.rejected.decided_by_id


def pairs(membership: Membership) -> list[Pair]:
    """Each rejected case with the approved look-alike nearest in amount, the latest first; in one statement."""
    alike: dict[Alike, list[Review]] = defaultdict(list)
    for review in _decided(membership):
        key = alike_of(review)
        if key is not None:
            alike[key].append(review)
    found = [pair for key, reviews in alike.items() for pair in _pairs_among(key, reviews)]
    return sorted(found, key=lambda pair: pair.rejected.pk, reverse=True)[:MOST_PAIRS]


def _decided(membership: Membership) -> Iterable[Review]:
    """The latest reviews that people approved or rejected."""
    rows = Review.objects.visible_to(membership).filter(
        state__in=[ReviewState.APPROVED, ReviewState.REJECTED],
        tier=Tier.FULL_REVIEW,
        decided_by__isnull=False,
        opened_at__gte=clock.now() - LOOKED_BACK,
    )
    return rows.select_related("case", "decision", "decided_by").order_by("-opened_at")[:MOST_REVIEWS]


def alike_of(review: Review) -> Alike | None:
    """What a case looks like; None for one without an amount."""
    case = review.case
    if case.amount_minor is None or case.currency not in EXPONENTS:
        return None
    _, named, _ = bands.scope_of_case(case)
    segment = plain(named) if named else segment_of(review.decision.facts)
    return Alike(case.reason, segment, case.currency, band_of(case.amount_minor, case.currency))


def segment_of(facts: Mapping[str, Any]) -> str:
    """The kind of customer where the request names no segment: by how long the shop has known them."""
    days = value_of(facts, "customer.age_days")
    if not isinstance(days, int):
        return "customer not known"
    if days < NEW:
        return "new customer"
    return "customer for over a year" if days >= LONG else "customer for some months"


def band_of(minor: int, currency: str) -> int:
    """The place of the band that an amount lies in."""
    unit = 10 ** EXPONENTS[currency]
    return max(place for place, edge in enumerate(BANDS) if minor >= edge * unit)


def _pairs_among(alike: Alike, reviews: Sequence[Review]) -> Iterable[Pair]:
    approved = [review for review in reviews if review.state == ReviewState.APPROVED]
    for rejected in reviews:
        if rejected.state == ReviewState.REJECTED and approved:
            nearest = min(approved, key=lambda other: _apart(other, rejected))
            yield Pair(alike, nearest, rejected, differences(nearest.decision.facts, rejected.decision.facts, alike))


def _apart(one: Review, other: Review) -> int:
    return abs((one.case.amount_minor or 0) - (other.case.amount_minor or 0))


def differences(approved: Mapping[str, Any], rejected: Mapping[str, Any], alike: Alike) -> list[Difference]:
    """The facts in which two cases differ, by the order of the catalogue."""
    found = []
    for name, fact in catalogue().items():
        if name in _OF_EACH:
            continue
        one = in_words(name, value_of(approved, name), alike.currency)
        other = in_words(name, value_of(rejected, name), alike.currency)
        if one != other:
            found.append(Difference(fact.label, one, other))
    return found[:MOST_DIFFERENCES]
