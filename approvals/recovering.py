"""What a restore means for consent: an objection may have been lost with the hours that were."""

from datetime import timedelta

from accounts.calendar import hours_of
from approvals import services, terms
from approvals.models import Review
from approvals.states import ReviewState
from auditlog.services import Actor, record
from opsdesk.lib import clock
from workflows.models import Recovery
from workflows.states import Tier


def begin_windows_anew(recovery: Recovery) -> None:
    """Give everybody the whole objection window again, in the transaction that ends a recovery."""
    hours = hours_of(recovery.organization)
    running = Review.objects.filter(
        organization_id=recovery.organization_id,
        state=ReviewState.OPEN,
        tier=Tier.FAST_TRACK,
        objection_ends_at__isnull=False,
    )
    for review_id in list(running.order_by("case_id").values_list("pk", flat=True)):
        case, review = services.locked_review(review_id)
        if review.state != ReviewState.OPEN or review.objection_ends_at is None:
            continue
        window = timedelta(minutes=terms.of(review).objection_minutes)
        review.objection_ends_at = hours.add(clock.now(), window)
        review.save(update_fields=["objection_ends_at"])
        record(
            "approvals.review.window_started",
            actor=Actor.timer("review timer"),
            organization_id=case.organization_id,
            subject=("review", review.pk),
            case_id=case.pk,
            after={"ends_at": review.objection_ends_at.isoformat()},
            reason="An objection may have been lost with the restored data, so the window begins anew.",
        )
