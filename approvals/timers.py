"""What time does to reviews: votes take effect, objection windows start and end. Nothing else is decided by a clock."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat, Now

from accounts.calendar import hours_of
from accounts.models import Organization
from approvals import running_limits, second_opinions, services, snoozing, terms, tries, voters
from approvals.grants import Source, grant, least_of
from approvals.models import Review
from approvals.states import ReviewState, Timer
from auditlog.services import Actor, record
from integrations.models import Notice
from integrations.states import NoticeState
from opsdesk.lib import clock
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.states import Overtaken
from workflows.engine import repairing
from workflows.models import Authorization, Case
from workflows.recovery import mode
from workflows.states import Tier

_TIMER = Actor.timer("review timer")
# Without any delivery for this long the notice counts as not arrived, and people decide.
_LONGEST_DELIVERY = timedelta(minutes=30)


def settle_due(limit: int = 50) -> int:
    """Carry out everything that is due; returns how many reviews were moved."""
    # Nothing is authorized while it is not known what went out already.
    acting = Review.objects.exclude(organization_id__in=mode.held())
    decided = acting.filter(state__in=[ReviewState.APPROVING, ReviewState.REJECTING], settles_at__lte=Now()).order_by(
        "settles_at"
    )
    ended = acting.filter(state=ReviewState.OPEN, objection_ends_at__lte=Now()).order_by("objection_ends_at")
    arrived, lost = _windows(acting)
    return (
        tries.each(Timer.SETTLE, decided, settle, most=limit, afterwards="settle.after_commit")
        + tries.each(Timer.LEAVE, ended, leave, most=limit, afterwards="leave.after_commit")
        + tries.each(Timer.WINDOW, arrived, _start_window, most=limit, afterwards="window.after_commit")
        + tries.each(Timer.UNTOLD, lost, _give_up_window, most=limit, afterwards="window.after_commit")
        + tries.each(Timer.WAKE, snoozing.due(), snoozing.wake_if_due, most=limit, afterwards="settle.after_commit")
    )


@transaction.atomic
def settle(review_id: int) -> int:
    """Let a decision take effect once it can no longer be taken back; 1 when it did, 0 when somebody was first."""
    case, review = services.locked_review(review_id)
    if review.state not in (ReviewState.APPROVING, ReviewState.REJECTING):
        return 0
    if review.settles_at is None or review.settles_at > clock.now():
        return 0
    if review.state == ReviewState.REJECTING:
        review.move_to(ReviewState.REJECTED, closed_at=clock.now())
        _tell(review, case, "rejected", f"{review.decided_by} rejected it.")
        second_opinions.sample(review)
    else:
        standing = services.standing_votes(review)
        lost = voters.why_lost(standing)
        if lost or review.content_hash != case.content_hash(review.run.facts):
            _ask_again(review, case, f"{lost}." if lost else "The content changed after the vote.")
            return 1
        review.move_to(ReviewState.APPROVED, closed_at=clock.now())
        people = voters.names([vote.voter for vote in standing], joint="and")
        running_limits.wait_for_customer(case)
        authorization = _authorize(review, case, Source.PEOPLE, people, least_of(standing))
        less = f": {authorization.amount} of {case.amount}" if authorization.amount != case.amount else ""
        _tell(review, case, "approved", f"Approved by {people}{less}.")
        second_opinions.sample(review)
    repairing.resume(review.run_id)
    crashpoint("settle.before_commit")
    return 1


def _ask_again(review: Review, case: Case, reason: str) -> None:
    """Votes that no longer count do not carry a refund: the review closes and the run decides anew."""
    review.move_to(ReviewState.VOID, closed_at=clock.now(), settles_at=None, objection_ends_at=None)
    _tell(review, case, "voided", reason)
    repairing.resume(review.run_id)


@transaction.atomic
def leave(review_id: int) -> int:
    """Authorize a fast-track case whose window has ended; an objection that committed first always wins."""
    case, review = services.locked_review(review_id)
    if review.state != ReviewState.OPEN or review.tier != Tier.FAST_TRACK:
        return 0
    if review.objection_ends_at is None or review.objection_ends_at > clock.now():
        return 0
    if review.content_hash != case.content_hash(review.run.facts):
        _ask_again(review, case, "The content changed since it was decided how much consent is needed.")
        return 1
    if not case.target:
        services.to_full_review(review)
        _tell(review, case, "window_failed", "No payment is named, so people decide it.")
        return 1
    try:
        review.move_to(ReviewState.APPROVED, closed_at=clock.now())
    except Overtaken:
        return 0
    _authorize(review, case, Source.OBJECTION_WINDOW, "nobody objected within the window")
    _tell(review, case, "approved", "Nobody objected within the window.")
    repairing.resume(review.run_id)
    crashpoint("leave.before_commit")
    return 1


def _authorize(
    review: Review, case: Case, source: Source, words: str, amount_minor: int | None = None
) -> Authorization:
    authorization = grant(case, review.run, review.decision, source=source, granted_by=words, amount_minor=amount_minor)
    authorization.save()
    record(
        "approvals.authorization.granted",
        actor=_TIMER,
        organization_id=case.organization_id,
        subject=("authorization", authorization.pk),
        case_id=case.pk,
        after={"amount": authorization.amount_minor, "currency": authorization.currency, "source": source},
        reason=f"{words}. {review.decision.sentence}"[:500],
    )
    return authorization


def _tell(review: Review, case: Case, verb: str, reason: str) -> None:
    record(
        f"approvals.review.{verb}",
        actor=_TIMER,
        organization_id=case.organization_id,
        subject=("review", review.pk),
        case_id=case.pk,
        after={"state": review.state, "tier": review.tier},
        reason=reason,
    )


def _windows(acting: QuerySet[Review]) -> tuple[QuerySet[Review], QuerySet[Review]]:
    """Reviews whose objection clock can start because a notice arrived, and those whose notices reached nobody."""
    topic = Concat(Value("leaving:"), Cast(OuterRef("pk"), TextField()))
    # What a shared channel was sent is read by nobody in particular.
    told = Notice.objects.outward().filter(topic=topic, recipient__isnull=False)
    waiting = acting.filter(state=ReviewState.OPEN, tier=Tier.FAST_TRACK, objection_ends_at=None).order_by("pk")
    arrived = waiting.filter(Exists(told.filter(state=NoticeState.DELIVERED)))
    lost = waiting.filter(~Exists(told.exclude(state=NoticeState.FAILED)) | Q(opened_at__lt=Now() - _LONGEST_DELIVERY))
    return arrived, lost


@transaction.atomic
def _start_window(review_id: int) -> int:
    case, review = services.locked_review(review_id)
    if review.state != ReviewState.OPEN or review.tier != Tier.FAST_TRACK or review.objection_ends_at is not None:
        return 0
    delivered = (
        Notice.objects.outward()
        .filter(topic=f"leaving:{review.pk}", recipient__isnull=False, state=NoticeState.DELIVERED)
        .order_by("delivered_at")
        .values_list("delivered_at", flat=True)
        .first()
    )
    if delivered is None:
        return 0
    window = timedelta(minutes=terms.of(review).objection_minutes)
    review.objection_ends_at = hours_of(Organization.objects.get(pk=case.organization_id)).add(delivered, window)
    review.save(update_fields=["objection_ends_at"])
    _tell(
        review,
        case,
        "window_started",
        f"The notice arrived; it leaves at {review.objection_ends_at:%Y-%m-%d %H:%M} UTC.",
    )
    crashpoint("window.before_commit")
    return 1


@transaction.atomic
def _give_up_window(review_id: int) -> int:
    case, review = services.locked_review(review_id)
    if review.state != ReviewState.OPEN or review.tier != Tier.FAST_TRACK or review.objection_ends_at is not None:
        return 0
    services.to_full_review(review)
    _tell(review, case, "window_failed", "No notice reached anybody, so people decide it.")
    return 1
