"""Threshold policies: bands of amounts and the tier each asks for; drafted, checked, published."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

from django.db import transaction

from accounts.models import User
from approvals import askable
from approvals.bands import ASPECTS, Scope, in_words, scope_of_band
from approvals.models import Policy, Threshold
from opsdesk.lib import clock
from opsdesk.lib.money import EXPONENTS, BadAmount, Money
from workflows.checking import second_person
from workflows.editions import Editions
from workflows.errors import Unpublishable
from workflows.models import Workflow
from workflows.states import Tier

# For one currency: amounts in major units, and the tier that amounts above each of them ask for.
Bands = Sequence[tuple[str, Tier]]
_GENERAL: Scope = ("",) * len(ASPECTS)


def check_policy(policy: Policy) -> list[str]:
    """What keeps a policy from deciding, in sentences; nothing means it can be published."""
    thresholds = list(policy.thresholds.order_by("currency", "above_minor"))
    problems = [] if thresholds else ["A policy needs at least one threshold."]
    groups: dict[tuple[str, Scope], list[Threshold]] = {}
    for threshold in thresholds:
        groups.setdefault((threshold.currency, scope_of_band(threshold)), []).append(threshold)
    for (currency, scope), bands in sorted(groups.items()):
        problems += _check_bands(currency, " ".join(filter(None, [currency, in_words(scope)])), bands)
        if any(scope) and (currency, _GENERAL) not in groups:
            problems.append(f"{currency}: bands for some requests only leave the others without any.")
    # Full review always: rules and missing facts lead there by themselves.
    used = {Tier(threshold.tier) for threshold in thresholds} | {Tier.FULL_REVIEW}
    return problems + askable.why_nobody(policy.workflow.organization_id, used)


def _check_bands(currency: str, which: str, bands: list[Threshold]) -> list[str]:
    if currency not in EXPONENTS:
        return [f"“{currency}” is not a currency the desk knows."]
    problems = []
    if bands[0].above_minor != 0:
        problems.append(f"{which}: the lowest band must start at 0; amounts up to {bands[0].above} have none.")
    for lower, upper in pairwise(bands):
        if Tier(upper.tier).rank < Tier(lower.tier).rank:
            problems.append(
                f"{which}: above {upper.above} asks for {Tier(upper.tier).label}, less than "
                f"{Tier(lower.tier).label} below it; a larger amount never asks for less."
            )
    return problems


POLICIES = Editions(Policy, "approvals.policy", check_policy, partial(second_person, what="thresholds"))
publish_policy = POLICIES.publish


def draft_policy(workflow: Workflow, bands: Mapping[str, Bands], *, by: User | None, reason: str) -> Policy:
    """A draft from bands a currency: {"GBP": [("0.00", Tier.INSTANT), ("25.00", Tier.FAST_TRACK)]}.

    Raises Unpublishable when a currency or an amount is none.
    """
    with POLICIES.drafting(workflow, by=by, reason=reason) as number:
        policy = Policy.objects.create(workflow=workflow, number=number, edited_by=by, edited_at=clock.now())
        try:
            rows = [
                Threshold(policy=policy, currency=currency, above_minor=Money.parse(above, currency).minor, tier=tier)
                for currency, own in bands.items()
                for above, tier in own
            ]
        except BadAmount as refusal:
            raise Unpublishable(str(refusal)) from refusal
        Threshold.objects.bulk_create(rows)
    return policy


@transaction.atomic
def publish_bands(workflow: Workflow, bands: Mapping[str, Bands], *, by: User | None, reason: str) -> Policy:
    """Draft a policy from bands and put it in force. Raises Unpublishable."""
    return publish_policy(draft_policy(workflow, bands, by=by, reason=reason), by=by, reason=reason)


def new_draft_policy(policy: Policy, *, by: User | None, reason: str) -> Policy:
    """A copy of a policy to edit."""
    with POLICIES.drafting(policy.workflow, by=by, reason=reason, source=str(policy)) as number:
        copy = Policy.objects.create(workflow=policy.workflow, number=number, edited_by=by, edited_at=clock.now())
        rows = list(policy.thresholds.all())
        for row in rows:
            row.pk, row.policy = None, copy
        Threshold.objects.bulk_create(rows)
    return copy
