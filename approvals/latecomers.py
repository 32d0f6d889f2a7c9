"""Clicks that come after the decision: refused in place, and kept, for somebody will ask what became of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from accounts.models import User
from approvals import voters
from approvals.errors import AlreadyDecided
from approvals.models import Review
from approvals.states import ReviewState
from auditlog.services import Actor, record


@contextmanager
def kept_when_late(review_id: int, *, by: User, wanted: str) -> Iterator[None]:
    """Record who wanted what of a review that was decided already, and let the refusal go on.

    To be put around the transaction of the attempt, which is undone by then. Whoever has voted is no loser, nor is who
    objects where somebody has objected: a second click leaves nothing. Of a bulk the result of the item says it.
    """
    try:
        yield
    except AlreadyDecided as refused:
        review = Review.objects.get(pk=review_id)
        voted = review.votes.filter(person_key=voters.person_key(by), withdrawn_at=None).exists()
        if review.state != ReviewState.OPEN and not voted:
            with transaction.atomic():
                record(
                    "approvals.review.came_too_late",
                    actor=Actor.person(by),
                    organization_id=review.organization_id,
                    subject=("review", review.pk),
                    case_id=review.case_id,
                    after={"wanted": wanted},
                    reason=str(refused),
                )
        raise
