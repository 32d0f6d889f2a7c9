"""Thresholds: the amount bands of a policy, asked in every decision."""

from collections.abc import Mapping
from typing import Any

from approvals.models import Policy, Threshold
from workflows.models import Case
from workflows.registry import Demand, Demands
from workflows.states import Tier, VersionState


def demands_of(case: Case, facts: Mapping[str, Any]) -> Demands:
    """What the published policy of the case's workflow asks for; no policy, or no band, asks for people."""
    policy = (
        Policy.objects.filter(
            workflow__organization_id=case.organization_id,
            workflow__slug=case.kind,
            state=VersionState.PUBLISHED,
        )
        .prefetch_related("thresholds")
        .select_related("workflow")
        .first()
    )
    if policy is None:
        nobody = Demand(
            "thresholds", "undetermined", "No thresholds are published, so a person decides", Tier.FULL_REVIEW
        )
        return Demands("no thresholds", (nobody,))
    return Demands(str(policy), (band_demand(list(policy.thresholds.all()), case),))


def band_demand(bands: list[Threshold], case: Case) -> Demand:
    """The band an amount falls into: the one with the highest limit below it."""
    amount = case.amount
    below = [
        band
        for band in bands
        if amount is not None and band.currency == amount.currency and band.above_minor < amount.minor
    ]
    if amount is None or not below:
        words = f"There are no thresholds for {case.currency or 'this currency'}, so a person decides"
        return Demand("thresholds", "undetermined", words, Tier.FULL_REVIEW, ("amount",))
    band = max(below, key=lambda each: each.above_minor)
    tier = Tier(band.tier)
    higher = [each for each in bands if each.currency == band.currency and each.above_minor > band.above_minor]
    if higher:
        upper = min(higher, key=lambda each: each.above_minor)
        words = f"{amount} is within the limit of {upper.above} for {tier.label}"
    else:
        words = f"{amount} is above {band.above}"
    return Demand("thresholds", "hit", words, tier, ("amount", "currency"))
