"""Consent to taking something back: asked of people, whatever the original needed, and not of those who approved that.

Whoever approved the original would judge their own decision: with it they could let money go and call it back, or
keep a mistake of theirs from coming to light, and nobody else would have looked. So they do not vote on its reversal.
"""

from collections.abc import Iterable

from django.db.models import F

from approvals.models import Vote
from approvals.states import ReviewState, Verdict
from integrations.models import Reversal
from integrations.reversing.services import KIND
from workflows.engine.context import RunContext
from workflows.models import Case
from workflows.registry import Demand, Demands
from workflows.states import Tier


def demands_of(context: RunContext) -> Demands:
    """A full review, which is at least what the original asked for; nothing for cases of other kinds."""
    if context.case.kind != KIND:
        return Demands("", ())
    reversal = Reversal.objects.filter(case=context.case).select_related("original__authorization__decision").first()
    grant = reversal.original.authorization if reversal is not None else None
    before = f", and the original asked for {Tier(grant.decision.tier).label}" if grant is not None else ""
    return Demands("", (Demand("reversal", "hit", f"Taking back is for people to decide{before}", Tier.FULL_REVIEW),))


def approved_before(cases: Iterable[Case]) -> dict[int, list[Vote]]:
    """The votes by which the originals of these cases were approved, by case; asks nothing where none is a reversal."""
    taking_back = [case.pk for case in cases if case.kind == KIND]
    if not taking_back:
        return {}
    votes = Vote.objects.filter(
        review__run__actions__reversals__case__in=taking_back,
        review__state=ReviewState.APPROVED,
        verdict=Verdict.APPROVE,
        withdrawn_at=None,
    ).annotate(reversing=F("review__run__actions__reversals__case"))
    found: dict[int, list[Vote]] = {}
    for vote in votes.select_related("voter", "absence__user"):
        found.setdefault(vote.reversing, []).append(vote)
    return found
