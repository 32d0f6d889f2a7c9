"""What triggers can watch among the rows of consent: reviews that wait for people."""

from django.db.models import Q

from approvals.models import Review
from approvals.states import ReviewState
from workflows.registry import Standing, Watched, add_watched
from workflows.watching import TELLS_OF_CASE, tell_case


def register() -> None:
    """Let triggers watch these."""
    add_watched(
        Watched(
            name="review",
            label="a review",
            rows=lambda organization_id: Review.objects.filter(organization_id=organization_id).select_related("case"),
            tell=lambda review: {"review": review.pk, "tier": review.tier, **tell_case(review.case)},
            tells=("review", "tier", *TELLS_OF_CASE),
            standings={"open": Standing("open", Q(state=ReviewState.OPEN), "opened_at")},
        )
    )
