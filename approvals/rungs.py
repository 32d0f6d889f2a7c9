"""When the rungs of a tier's ladder are due on a review."""

from datetime import datetime, timedelta

from accounts.calendar import hours_of
from accounts.models import Organization
from approvals.models import Review, Rung


def begin(review: Review) -> None:
    """Put a saved review before the first rung of its tier, or before none; the caller holds its lock or made it."""
    first = Rung.objects.filter(tier=review.settings_id).order_by("after_minutes").first()
    review.climbed_minutes = 0
    review.rung_due_at = due_at(review, first.after_minutes) if first else None
    review.save(update_fields=["climbed_minutes", "rung_due_at"])


def due_at(review: Review, after_minutes: int) -> datetime:
    """The instant at which so many business minutes have passed since the review was opened.

    Those in which it waited for the requester's answer do not count.
    """
    hours = hours_of(Organization.objects.get(pk=review.organization_id))
    answered = review.questions.exclude(closed_at=None).values_list("asked_at", "closed_at")
    stood = sum((hours.between(asked_at, closed_at) for asked_at, closed_at in answered if closed_at), timedelta())
    return hours.add(review.opened_at, timedelta(minutes=after_minutes) + stood)


def go_on(review: Review) -> None:
    """After its clock has stood, the next rung is due as much later; the caller holds the review's lock."""
    following = Rung.objects.filter(tier=review.settings_id, after_minutes__gt=review.climbed_minutes)
    first = following.order_by("after_minutes").first()
    review.rung_due_at = due_at(review, first.after_minutes) if first else None
    review.save(update_fields=["rung_due_at"])
