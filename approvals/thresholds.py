"""Thresholds: the amount bands of a policy, asked in every decision."""

from approvals.models import Policy, Threshold
from workflows.engine.context import RunContext
from workflows.models import Case
from workflows.registry import Demand, Demands
from workflows.states import Tier, VersionState


def demands_of(context: RunContext) -> Demands:
    """What the published policy of the run's workflow asks for; no policy, or no band, asks for people."""
    workflow_id = context.run.workflow_id
    policy = context.batch.remember(("policy", workflow_id), lambda: published_policy(workflow_id))
    if policy is None:
        nobody = Demand(
            "thresholds", "undetermined", "No thresholds are published, so a person decides", Tier.FULL_REVIEW
        )
        return Demands("no thresholds", (nobody,))
    return Demands(str(policy), (band_demand(list(policy.thresholds.all()), context.case),))


def published_policy(workflow_id: int) -> Policy | None:
    """The thresholds in force for a workflow, with their bands loaded."""
    return (
        Policy.objects.filter(workflow_id=workflow_id, state=VersionState.PUBLISHED)
        .prefetch_related("thresholds")
        .select_related("workflow")
        .first()
    )


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
