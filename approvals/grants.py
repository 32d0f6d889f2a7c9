"""Authorizations: the one place that writes them, and the check that they still hold when they are used."""

from approvals.models import Review, Vote
from approvals.states import ReviewState, Verdict
from approvals.voters import why_lost
from workflows.models import Authorization, Case, Decision, Run
from workflows.states import Tier

Source = Authorization.Source


def grant(case: Case, run: Run, decision: Decision, *, source: "Source", granted_by: str) -> Authorization:
    """An unsaved authorization over exactly what was decided. The caller writes it in the deciding transaction."""
    return Authorization(
        organization_id=case.organization_id,
        case=case,
        run=run,
        decision=decision,
        source=source,
        amount_minor=case.amount_minor or 0,
        currency=case.currency,
        target=case.target,
        content_hash=decision.content_hash,
        granted_by=granted_by[:300],
    )


def why_void(authorization: Authorization) -> str:
    """Why an authorization does not hold now: it is not what its tier asks for, or who voted lost the right to."""
    match authorization.source:
        case Source.RULE:
            return "" if authorization.decision.tier == Tier.INSTANT else "Rules alone cannot authorize this."
        case Source.OBJECTION_WINDOW:
            left = Review.objects.filter(
                decision=authorization.decision_id,
                state=ReviewState.APPROVED,
                tier=Tier.FAST_TRACK,
                objection_ends_at__isnull=False,
            )
            return "" if left.exists() else "No objection window stands behind this authorization."
    votes = Vote.objects.filter(
        review__decision=authorization.decision_id,
        review__state=ReviewState.APPROVED,  # one that was voided before does not carry it
        verdict=Verdict.APPROVE,
        withdrawn_at=None,
    ).select_related("voter", "review__case__requested_by_user", "review__settings")
    if not votes:
        return "Nobody's vote stands behind this authorization."
    lost = why_lost(votes)
    return f"{lost}: it has to be decided again." if lost else ""
