"""What the page of thresholds shows: bands on a line, past amounts below them, and where a limit would move."""

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode

from django.urls import reverse

from approvals.bands import ASPECTS, Scope, scope_of_band
from approvals.drafting import Limits, draft_of, live_of
from approvals.models import Policy, Threshold, Trial
from opsdesk.lib.money import EXPONENTS, Money
from workflows.models import Case, Workflow
from workflows.states import VersionState

WIDTH = 400
# Past amounts are counted over so many of the last cases, in so many columns.
MOST_PAST = 10_000
COLUMNS = 20
GENERAL: Scope = ("",) * len(ASPECTS)


@dataclass(frozen=True, slots=True)
class Part:
    """One band on the line."""

    kind: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Line:
    """The bands of one group on a line from nothing to `top`, in parts of `WIDTH`."""

    limits: Limits
    top: int

    def at(self, minor: int | None) -> float:
        """Where an amount stands; what has no limit stands at the end."""
        return WIDTH if minor is None else round(min(minor / self.top, 1) * WIDTH, 2)

    @property
    def parts(self) -> list[Part]:
        instant, fast = self.at(self.limits.instant), self.at(self.limits.fast_track)
        spans = [("b1", 0.0, instant), ("b2", instant, fast), ("b3", fast, float(WIDTH))]
        return [Part(kind, begin, round(end - begin, 2)) for kind, begin, end in spans if end > begin]


@dataclass(frozen=True)
class Group:
    """The bands for some requests: as in force, and as the draft has them."""

    currency: str
    scope: Scope
    live: Limits | None
    draft: Limits | None
    top: int
    url: str
    current: bool

    @property
    def label(self) -> str:
        """What it is for: “damaged, phone”; “Every request” for the bands that speak where no others do."""
        return ", ".join(filter(None, self.scope)) or "Every request"

    @property
    def limits(self) -> Limits:
        """As they would be once the draft is published."""
        return self.draft or self.live or Limits(0, 0)

    @property
    def changed(self) -> bool:
        return self.draft != self.live

    @property
    def line(self) -> Line:
        return Line(self.limits, self.top)

    @property
    def was(self) -> list[float]:
        """Where the limits in force stand, if the draft moves them."""
        if self.live is None or not self.changed:
            return []
        line = Line(self.live, self.top)
        return [line.at(limit) for limit in (self.live.instant, self.live.fast_track) if limit is not None]

    @property
    def told(self) -> str:
        """The limits in a sentence."""
        return told(self.limits, self.currency)

    @property
    def short(self) -> str:
        """The limits as figures: “£40.00, £75.00”."""
        return ", ".join("no limit" if each is None else str(Money(each, self.currency)) for each in _both(self.limits))

    @property
    def told_live(self) -> str:
        return told(self.live, self.currency) if self.live is not None else "none of its own"


def _both(limits: Limits) -> tuple[int | None, int | None]:
    return limits.instant, limits.fast_track


def told(limits: Limits, currency: str) -> str:
    """Limits in a sentence: “instant up to £40.00, fast-track up to £75.00, full review above”."""
    if limits.instant is None:
        return "instant, whatever the amount"
    parts = [f"instant up to {Money(limits.instant, currency)}"] if limits.instant else []
    if limits.fast_track is None:
        return ", ".join([*parts, "fast-track above" if parts else "fast-track, whatever the amount"])
    if limits.fast_track > limits.instant:
        parts.append(f"fast-track up to {Money(limits.fast_track, currency)}")
    return ", ".join([*parts, "full review above" if parts else "full review, whatever the amount"])


class Board:
    """The thresholds of one workflow in one currency, and the group that is being moved."""

    def __init__(self, workflow: Workflow, currency: str, scope: Scope, *, new: bool = False) -> None:
        self.workflow = workflow
        self.live, self.draft = live_of(workflow), draft_of(workflow)
        self._bands = {policy.pk: list(policy.thresholds.all()) for policy in (self.live, self.draft) if policy}
        self.currency = currency if currency in self.currencies else next(iter(self.currencies), "EUR")
        self.scope, self.new = scope, new

    @cached_property
    def currencies(self) -> list[str]:
        """Currencies that have bands, in force or in the draft."""
        return sorted({band.currency for bands in self._bands.values() for band in bands})

    def _groups_of(self, policy: Policy | None) -> dict[Scope, Limits]:
        found: dict[Scope, list[Threshold]] = {}
        for band in self._bands.get(policy.pk, []) if policy else []:
            if band.currency == self.currency:
                found.setdefault(scope_of_band(band), []).append(band)
        return {scope: Limits.of(bands) for scope, bands in found.items()}

    @cached_property
    def top(self) -> int:
        """The amount at the end of the lines: twice the highest limit, rounded."""
        every = [*self._groups_of(self.live).values(), *self._groups_of(self.draft).values()]
        highest: int = max((each for limits in every for each in _both(limits) if each is not None), default=0)
        unit: int = 10 ** EXPONENTS[self.currency]
        return round_up(max(highest * 3 // 2 // unit, 100)) * unit

    @cached_property
    def groups(self) -> list[Group]:
        """Every group of bands, those for all requests first."""
        live, draft = self._groups_of(self.live), self._groups_of(self.draft)
        scopes = sorted({*live, *draft})
        return [
            Group(
                self.currency,
                scope,
                live.get(scope),
                draft.get(scope) if self.draft is not None else live.get(scope),
                self.top,
                self.address(scope),
                scope == self.scope,
            )
            for scope in scopes
            if scope in draft or self.draft is None or scope in live
        ]

    @property
    def group(self) -> Group | None:
        """The group that is being moved."""
        return None if self.new else next((group for group in self.groups if group.current), None)

    @property
    def top_money(self) -> Money:
        return Money(self.top, self.currency)

    def address(self, scope: Scope, currency: str = "") -> str:
        """The page with a group chosen."""
        named = {key: value for key, value in zip(ASPECTS, scope, strict=True) if value}
        query = {"workflow": self.workflow.slug, "currency": currency or self.currency, **named}
        return f"{reverse('approvals:thresholds')}?{urlencode(query)}"

    @property
    def views(self) -> list[dict[str, object]]:
        """One view a currency."""
        return [
            {"url": self.address(GENERAL, each), "label": each, "current": each == self.currency}
            for each in self.currencies
        ]

    @cached_property
    def past(self) -> list[int]:
        """Amounts of the last cases to which the chosen bands are about, newest first."""
        cases = Case.objects.filter(
            organization_id=self.workflow.organization_id, currency=self.currency, amount_minor__isnull=False
        )
        reason, segment, channel = self.scope
        if reason:
            cases = cases.filter(reason=reason)
        for name, value in (("segment", segment), ("channel", channel)):
            if value:
                cases = cases.filter(**{f"data__{name}": value})
        amounts = cases.order_by("-pk").values_list("amount_minor", flat=True)[:MOST_PAST]
        return [minor for minor in amounts if minor is not None]

    @cached_property
    def trial(self) -> Trial | None:
        """The last look back with the draft."""
        return Trial.objects.filter(policy=self.draft).select_related("by", "policy").first() if self.draft else None

    @cached_property
    def former(self) -> list[Policy]:
        """Editions that were in force before, newest first."""
        rows = Policy.objects.filter(workflow=self.workflow, state=VersionState.RETIRED, published_at__isnull=False)
        return list(rows.order_by("-published_at")[:3])

    @property
    def named(self) -> list[tuple[str, str]]:
        """What the chosen bands are for, as the form sends it."""
        return list(zip(ASPECTS, self.scope, strict=True))

    @property
    def asked(self) -> list[tuple[str, str, str]]:
        """The questions about new bands: name, what was typed, label."""
        return [
            (name, value, f"Where {label} is") for (name, label), value in zip(ASPECTS.items(), self.scope, strict=True)
        ]

    @property
    def droppable(self) -> bool:
        """Whether the chosen bands can be taken out, so that those for all speak instead."""
        return self.group is not None and any(self.scope)

    @property
    def new_url(self) -> str:
        """The page with no group chosen."""
        return f"{self.address(GENERAL)}&new=1"


def round_up(number: int) -> int:
    """The next number that is easy to read: 100, 150, 200, 300, 500, 750, 1000 …"""
    power: int = 10 ** (len(str(number)) - 1)
    steps = (power, power * 3 // 2, power * 2, power * 3, power * 5, power * 15 // 2, power * 10)
    return next(step for step in steps if step >= number)
