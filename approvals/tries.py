"""What time does to reviews has so many tries: what breaks is tried again later, and then stands until somebody looks.

Every periodic task that works on reviews one by one goes through `each`.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from accounts.models import User
from approvals.errors import AlreadyDecided
from approvals.models import Review, Setback
from approvals.services import locked_review
from approvals.states import REVIEW_FINAL, Timer
from auditlog.services import Actor, record
from opsdesk.lib import clock
from opsdesk.lib.crashing import Point, crashpoint
from opsdesk.lib.database import is_busy, is_lost, patiently
from opsdesk.lib.wording import visible

log = structlog.get_logger(__name__)
_TIMER = Actor.timer("review timer")
# What breaks is tried so often, after pauses that double from this.
MOST_TRIES = 5
_FIRST_PAUSE = timedelta(minutes=1)


def ready(timer: Timer, reviews: QuerySet[Review]) -> QuerySet[Review]:
    """The reviews but those of which this timer broke and is not tried now."""
    return reviews.exclude(Exists(Setback.objects.holding().filter(review=OuterRef("pk"), timer=timer)))


def each(
    timer: Timer,
    reviews: QuerySet[Review],
    move: Callable[[int], int],
    *,
    most: int,
    afterwards: Point | None = None,
) -> int:
    """Move the first of some reviews, each by itself; returns how many were moved.

    One that breaks holds up no other. That the database is busy is no setback: it is tried at the next beat.
    """
    broke_before = Exists(Setback.objects.filter(review=OuterRef("pk"), timer=timer))
    due = ready(timer, reviews).annotate(broke_before=broke_before).values_list("pk", "broke_before")
    moved = 0
    for review_id, broke in list(due[:most]):
        try:
            moved += move(review_id)
            if afterwards is not None:
                crashpoint(afterwards)
            if broke:
                Setback.objects.filter(review=review_id, timer=timer).delete()
        except Exception as error:
            if is_lost(error):
                raise
            log.exception("timer_broke", timer=timer, review_id=review_id)
            if not is_busy(error):
                patiently(partial(_broke, timer, review_id, error))
    return moved


@transaction.atomic
def _broke(timer: Timer, review_id: int, error: Exception) -> None:
    """Have it tried again after a pause; after its last try it stands, with the reason for people to see."""
    _, review = locked_review(review_id)
    if review.state in REVIEW_FINAL:
        return
    setback = review.setbacks.filter(timer=timer).first() or Setback(
        organization_id=review.organization_id, review=review, timer=timer, tries=0
    )
    setback.tries += 1
    times = "once" if setback.tries == 1 else f"{setback.tries} times"
    setback.problem = f"{timer.label} broke {times}. {visible(f'{type(error).__name__}: {error}', at_most=200)}"
    pause = _FIRST_PAUSE * 2 ** (setback.tries - 1)
    setback.again_at = clock.now() + pause if setback.tries < MOST_TRIES else None
    setback.save()
    if setback.again_at is None:
        _tell(setback, review, "timer_stopped", _TIMER)


@transaction.atomic
def go_on(setback_id: int, *, by: User) -> Setback:
    """Let a timer that stands go on from where it broke. Raises AlreadyDecided where there is none to go on."""
    _, review = locked_review(Setback.objects.values_list("review_id", flat=True).get(pk=setback_id))
    setback = Setback.objects.standing().filter(pk=setback_id).first()
    if setback is None:
        raise AlreadyDecided("It goes on already, or the case is decided.")
    _tell(setback, review, "timer_resumed", Actor.person(by))
    Setback.objects.filter(pk=setback_id).delete()
    return setback


def _tell(setback: Setback, review: Review, verb: str, actor: Actor) -> None:
    record(
        f"approvals.review.{verb}",
        actor=actor,
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=review.case_id,
        after={"timer": setback.timer, "tries": setback.tries},
        reason=setback.problem,
    )
