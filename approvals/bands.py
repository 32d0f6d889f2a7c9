"""Which band an amount falls into: the most specific that fits the request, and of two as specific the stricter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from approvals.models import Threshold
from opsdesk.lib.money import Money
from workflows.models import Case
from workflows.registry import Demand
from workflows.states import Tier

# What a band can be for, beside its currency, and how the desk says it.
ASPECTS = {"reason": "the reason", "segment": "the customer segment", "channel": "the channel"}
# The values of a band, or of a request, in the order of ASPECTS; "" on a band is any, on a request not known.
Scope = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A band that speaks for an amount, and why it does."""

    band: Threshold
    tier: Tier
    words: str


class BandTable:
    """All bands of a policy, by currency and by what they are for."""

    def __init__(self, thresholds: Iterable[Threshold]) -> None:
        self._groups: dict[str, dict[Scope, list[Threshold]]] = {}
        for band in sorted(thresholds, key=lambda each: each.above_minor):
            self._groups.setdefault(band.currency, {}).setdefault(scope_of_band(band), []).append(band)

    def demand(self, case: Case) -> Demand:
        """What the thresholds ask for about a case; without a band, people decide."""
        placed = self.place(case.amount, scope_of_case(case)) if case.amount is not None else None
        if placed is None:
            words = f"There are no thresholds for {case.currency or 'this currency'}, so a person decides"
            return Demand("thresholds", "undetermined", words, Tier.FULL_REVIEW, ("amount",))
        return Demand("thresholds", "hit", placed.words, placed.tier, ("amount", "currency"))

    def place(self, amount: Money, request: Scope) -> Placed | None:
        """The band that speaks for an amount of a request; None when there is none.

        Where the request does not say what a more specific band asks about, that band may apply: the stricter wins.
        """
        groups = self._groups.get(amount.currency, {})
        fitting = [scope for scope in groups if _fits(scope, request)]
        if not fitting:
            return None
        most = max(map(_specificity, fitting))
        chosen = {scope: "" for scope in fitting if _specificity(scope) == most}
        chosen |= {
            scope: unknown for scope in groups if _specificity(scope) > most and (unknown := _not_known(scope, request))
        }
        found = [placed for scope, why in sorted(chosen.items()) if (placed := _in_group(groups[scope], amount, why))]
        return max(found, key=lambda each: each.tier.rank, default=None)


def scope_of_band(band: Threshold) -> Scope:
    """What a band is for."""
    return band.reason, band.segment, band.channel


def scope_of_case(case: Case) -> Scope:
    """What a request says about itself: its reason, and the segment and channel that it was sent with."""
    return case.reason, _text(case.data, "segment"), _text(case.data, "channel")


def _text(data: Mapping[str, object], name: str) -> str:
    value = data.get(name)
    return value.strip() if isinstance(value, str) else ""


def in_words(scope: Scope) -> str:
    """What a band is for, as an end of a sentence: “where the reason is damaged”; nothing where it is for all."""
    parts = [f"{label} is {value}" for label, value in zip(ASPECTS.values(), scope, strict=True) if value]
    return f"where {' and '.join(parts)}" if parts else ""


def _specificity(scope: Scope) -> int:
    return sum(map(bool, scope))


def _fits(scope: Scope, request: Scope) -> bool:
    return all(not asked or asked == said for asked, said in zip(scope, request, strict=True))


def _not_known(scope: Scope, request: Scope) -> str:
    """The aspects a band asks about that the request leaves open, in words; nothing where the band cannot apply."""
    if not all(not asked or not said or asked == said for asked, said in zip(scope, request, strict=True)):
        return ""
    sides = zip(ASPECTS.values(), scope, request, strict=True)
    return " and ".join(label for label, asked, said in sides if asked and not said)


def _in_group(bands: list[Threshold], amount: Money, unknown: str) -> Placed | None:
    """The band of one group with the highest limit below the amount."""
    below = [band for band in bands if band.above_minor < amount.minor]
    if not below:
        return None
    band, tier = below[-1], Tier(below[-1].tier)
    if len(below) < len(bands):
        words = f"{amount} is within the limit of {bands[len(below)].above} for {tier.label}"
    else:
        words = f"{amount} is above {band.above}"
    where = in_words(scope_of_band(band))
    words = f"{words} {where}" if where else words
    return Placed(band, tier, f"{words}, and {unknown} is not known" if unknown else words)
