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
    """The instant at which so many business minutes have passed since the review was opened."""
    hours = hours_of(Organization.objects.get(pk=review.organization_id))
    return hours.add(review.opened_at, timedelta(minutes=after_minutes))
