"""For whom or what a run waits that needs consent, in exact words: votes, objections, second thoughts."""

from collections.abc import Collection

from approvals import terms
from approvals.models import Review
from approvals.stages import AskedStage
from approvals.states import REVIEW_FINAL, ReviewState
from workflows.registry import Awaited
from workflows.states import Tier


def awaited(run_ids: Collection[int]) -> dict[int, Awaited]:
    """What these runs wait for, by run; only those whose review is not over."""
    waiting = Review.objects.filter(run__in=run_ids).exclude(state__in=REVIEW_FINAL).select_related("settings")
    reviews = list(waiting)
    stages = terms.stages_of_each(reviews)
    return {review.run_id: _words(review, stages[review.pk][review.stage :]) for review in reviews}


def _words(review: Review, left: list[AskedStage]) -> Awaited:
    if review.state == ReviewState.ASKED:
        return Awaited("the requester's answer", "Comes back to people then, with the time that was left")
    if review.state != ReviewState.OPEN:
        whom = "the moments in which the decision can be taken back to pass"
        return Awaited(whom, "It takes effect by itself then", review.settles_at)
    if review.tier == Tier.FULL_REVIEW:
        return Awaited(_voters(left[0]) if left else "a team for its tier", "Goes on once decided")
    told = left[0].names if left else "a team that is told"
    if review.objection_ends_at is None:
        later = "Leaves by itself some time after that, unless somebody objects"
        return Awaited(f"the notice to {told} to arrive", later)
    whom = f"the objection window to end; {told} was told"
    return Awaited(whom, "Leaves by itself then, unless somebody objects", review.objection_ends_at)


def _voters(stage: AskedStage) -> str:
    who = f"{stage.needed} people" if stage.needed > 1 else "somebody"
    return f"{who} of {stage.names} to decide"
