"""Decided reviews that somebody else is asked to judge."""

from typing import Any

from accounts.models import User
from approvals.models import Review, SecondOpinion
from approvals.states import ReviewState
from opsdesk.lib import clock
from tests import factories


def decided(review: Review, by: User, *, approved: bool = True) -> Review:
    """The review as it is once the decision of that person has taken effect."""
    rows = Review.objects.filter(pk=review.pk)
    between = ReviewState.APPROVING if approved else ReviewState.REJECTING
    rows.update(state=between, settles_at=clock.now(), decided_by=by)
    rows.update(state=ReviewState.APPROVED if approved else ReviewState.REJECTED, closed_at=clock.now())
    review.refresh_from_db()
    return review


def make_second_opinion(
    organization: Any, *, by: User, asked: User, approved: bool = True, **case: Any
) -> SecondOpinion:
    """Somebody decided a case, and somebody else is asked."""
    review = decided(factories.make_review(factories.make_case(organization, **case)), by, approved=approved)
    return SecondOpinion.objects.create(organization=organization, review=review, asked=asked)
