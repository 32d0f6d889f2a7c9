"""Authorizations: the one place that writes them, and the check that they still hold when they are used."""

from approvals.models import Vote
from approvals.states import ReviewState, Verdict
from approvals.voters import holds_right
from workflows.models import Authorization, Case, Decision, Run

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
    """Why people's authorization no longer holds: everybody who voted must still have the right to; "" when they do."""
    if authorization.source != Source.PEOPLE:
        return ""
    votes = Vote.objects.filter(
        review__decision_id=authorization.decision_id,
        review__state=ReviewState.APPROVED,  # one that was voided before does not carry it
        verdict=Verdict.APPROVE,
        withdrawn_at=None,
    ).select_related("voter")
    if not votes:
        return "Nobody's vote stands behind this authorization."
    for vote in votes:
        if not holds_right(vote.voter, authorization.organization_id):
            return f"{vote.voter} approved this and may no longer decide: it has to be decided again."
    return ""
