"""Claims: a lease that tells colleagues who has a review open to decide it, kept up while the page is open.

Nothing is decided by a claim. While one stands only its holder's vote is taken, so that two people do not work on the
same case unawares; anybody who may vote can take it over, and the audit log says so. Objections and timers do not ask.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from accounts.models import User
from approvals import voters
from approvals.errors import AlreadyDecided, HeldByAnother
from approvals.models import Claim, Review
from approvals.states import ReviewState
from auditlog.services import Actor, record

# A page renews every 20 s. Whoever looks something up elsewhere for a minute keeps what they have.
LEASE = timedelta(minutes=2)


def standing_on(review: Review) -> Claim | None:
    """The claim that holds on a review now; None when nobody has it."""
    return Claim.objects.standing().select_related("holder").filter(review=review).first()


def is_held_by(review: Review, user: User) -> bool:
    """Whether this person has the review open."""
    return Claim.objects.standing().filter(review=review, holder=user).exists()


def in_words(claim: Claim) -> str:
    """Who has a case open and since when, as their colleagues read it."""
    return f"{claim.holder} has it open since {timezone.localtime(claim.since):%H:%M}"


def refuse_if_held(review: Review, voter: User) -> None:
    """Raise HeldByAnother, with who and since when, while somebody else has the review open."""
    claim = standing_on(review)
    if claim is not None and not claim.holder.same_person_as(voter):
        raise HeldByAnother(f"{in_words(claim)}: take it over first.")


@transaction.atomic
def claim(review_id: int, *, by: User, over: int | None = None) -> Claim:
    """Take an open review to decide it; `over` is the key of the person it is taken from knowingly.

    Raises AlreadyDecided, SelfApproval, NotAVoter, VotedBefore; HeldByAnother when somebody else than `over` has it.
    """
    review = Review.objects.locked().select_related("run", "settings", "case__requested_by_user").get(pk=review_id)
    return claim_locked(review, by=by, over=over)


def claim_locked(review: Review, *, by: User, over: int | None = None) -> Claim:
    """As `claim`, for a caller that holds the review's lock."""
    if review.state != ReviewState.OPEN:
        raise AlreadyDecided
    voters.check_voter(review, voters.stage_of(review), by)
    before = standing_on(review)
    if before is not None and before.holder_id == by.pk:
        renew(review.pk, by=by)
        return before
    if before is not None and before.holder_id != over and not before.holder.same_person_as(by):
        raise HeldByAnother(f"{in_words(before)}: take it over first.")
    taken, _ = Claim.objects.update_or_create(
        review=review, defaults={"holder": by, "since": Now(), "until": Now() + LEASE}
    )
    _tell(review, by, before)
    taken.refresh_from_db()
    return taken


def _tell(review: Review, by: User, before: Claim | None) -> None:
    reason = f"{by} has it open to decide it."
    if before is not None:
        reason = f"{by} took it over from {before.holder}, who had it since {before.since:%H:%M} UTC."
    record(
        f"approvals.review.{'taken_over' if before else 'claimed'}",
        actor=Actor.person(by),
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=review.case_id,
        before={"holder": str(before.holder)} if before else {},
        after={"holder": str(by)},
        reason=reason,
    )


def renew(review_id: int, *, by: User) -> bool:
    """Keep one's claim for another lease; False when it is no longer one's own, or the review is decided.

    A lease that ran out and that nobody else took since is taken up again.
    """
    own = Claim.objects.filter(review=review_id, holder=by, review__state=ReviewState.OPEN)
    return own.update(until=Greatest(F("until"), Now() + LEASE)) == 1


@transaction.atomic
def let_go(review_id: int, *, by: User) -> bool:
    """Give a claim back before its lease ends; False when one has none."""
    review = Review.objects.locked().get(pk=review_id)
    if not Claim.objects.filter(review=review, holder=by).delete()[0]:
        return False
    record(
        "approvals.review.let_go",
        actor=Actor.person(by),
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=review.case_id,
        reason=f"{by} closed it without deciding.",
    )
    return True


def forget_old() -> int:
    """Take away claims that ran out a day ago: nobody comes back to them."""
    return Claim.objects.filter(until__lt=Now() - timedelta(days=1)).delete()[0]


def end(review: Review) -> None:
    """A vote was cast, or the review went to somebody else: whoever had it open is done. The caller holds the lock."""
    Claim.objects.filter(review=review).delete()
