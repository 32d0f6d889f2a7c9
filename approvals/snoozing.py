"""Putting a review off: it leaves the queue, its clock goes on, and it comes back by itself."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from approvals import claims, services, voters
from approvals.errors import BadMoment
from approvals.models import Review
from approvals.states import Timer
from auditlog.models import Entry
from auditlog.services import Actor, record
from opsdesk.lib import clock, wording
from workflows.recovery import mode
from workflows.states import Tier

# That somebody looked at it is no news.
_NO_NEWS = ("approvals.review.claimed", "approvals.review.taken_over", "approvals.review.let_go")
_TIMER = Actor.timer("review timer")


_NAPS = {"1h": timedelta(hours=1), "2h": timedelta(hours=2), "4h": timedelta(hours=4), "1d": timedelta(days=1)}
_UNTIL_DUE = "due"


def naps_of(review: Review) -> list[tuple[str, str]]:
    """For how long it can be put off, as (value, words): lengths that end before it is due, and until just then."""
    left = review.due_at - clock.now()
    fitting = [(value, f"for {wording.span(length)}") for value, length in _NAPS.items() if length < left]
    return [*fitting, (_UNTIL_DUE, "until it is due")]


def until_of(review: Review, nap: str) -> datetime:
    """The moment that one of these values means now. Raises BadMoment for a value that is none."""
    if nap == _UNTIL_DUE:
        return review.due_at
    if nap not in _NAPS:
        raise BadMoment("Choose until when.")
    return clock.now() + _NAPS[nap]


@transaction.atomic
def snooze(review_id: int, *, by: User, until: datetime, on_news: bool) -> Review:
    """Keep an open full review out of the queue until a moment before it is due, or until something happens to it.

    Raises AlreadyDecided, SelfApproval, NotAVoter, BadMoment.
    """
    case, review = services.locked_review(review_id)
    services.refuse_if_decided(review)
    voters.check_voter(review, voters.stage_of(review), by)
    claims.refuse_if_held(review, by)
    if review.tier != Tier.FULL_REVIEW:
        raise BadMoment("It leaves by itself: object, or ask, if it should not.")
    if until <= clock.now():
        raise BadMoment("That is over already.")
    if until > review.due_at:
        raise BadMoment("It is due before that. To stop its clock, ask the requester.")
    entry = record(
        "approvals.review.snoozed",
        actor=Actor.person(by),
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=case.pk,
        after={"until": until.isoformat(), "on_news": on_news},
        reason=f"Until {until:%Y-%m-%d %H:%M} UTC{' or until something happens' if on_news else ''}.",
    )
    _forget_setback(review)
    review.snoozed_until, review.snoozed_by = until, by
    newest = Entry.objects.filter(case_id=case.pk).order_by("-pk").values_list("pk", flat=True).first()
    review.wakes_after = (newest or entry.pk) if on_news else None
    review.save(update_fields=["snoozed_until", "snoozed_by", "wakes_after"])
    claims.end(review)
    return review


def awake(review: Review, *, reason: str, actor: Actor = _TIMER) -> None:
    """Put a snoozed review back into the queue; the caller holds its lock."""
    _forget_setback(review)
    review.snoozed_until = review.snoozed_by = review.wakes_after = None
    review.save(update_fields=["snoozed_until", "snoozed_by", "wakes_after"])
    record(
        "approvals.review.woke",
        actor=actor,
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=review.case_id,
        reason=reason,
    )


def _forget_setback(review: Review) -> None:
    """Whatever broke while an earlier time was waited for is over."""
    review.setbacks.filter(timer=Timer.WAKE).delete()


@transaction.atomic
def wake(review_id: int, *, by: User) -> Review:
    """Have it back now. Raises AlreadyDecided."""
    _, review = services.locked_review(review_id)
    services.refuse_if_decided(review)
    if review.snoozed_until is not None:
        awake(review, reason=f"{by} took it back.", actor=Actor.person(by))
    return review


def due() -> QuerySet[Review]:
    """Reviews that have slept long enough, or have had news."""
    news = _news().filter(case_id=OuterRef("case_id"), pk__gt=OuterRef("wakes_after"))
    asleep = Review.objects.open().filter(snoozed_until__isnull=False).exclude(organization_id__in=mode.held())
    found = asleep.filter(Q(snoozed_until__lte=Now()) | (Q(wakes_after__isnull=False) & Exists(news)))
    return found.order_by("snoozed_until", "pk")


def _news() -> QuerySet[Entry]:
    return Entry.objects.exclude(verb__in=_NO_NEWS)


@transaction.atomic
def wake_if_due(review_id: int) -> int:
    """Put one back; 1 when it was, 0 when its time has not come, or somebody was first."""
    case, review = services.locked_review(review_id)
    if review.snoozed_until is None:
        return 0
    later = _news().filter(case_id=case.pk, pk__gt=review.wakes_after or F("pk")).order_by("-pk").first()
    if review.snoozed_until > clock.now() and later is None:
        return 0
    awake(review, reason=f"{later.actor} {later.words}."[:300] if later else "Its time has come.")
    return 1
