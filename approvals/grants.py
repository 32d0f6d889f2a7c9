"""Authorizations: the one place that writes them, and the check that they still hold when they are used."""

from collections.abc import Iterable

from approvals.models import Review, Vote
from approvals.states import ReviewState, Verdict
from approvals.voters import why_lost
from workflows.models import Authorization, Case, Decision, Run
from workflows.states import Tier

Source = Authorization.Source


def least_of(votes: Iterable[Vote]) -> int | None:
    """The least that any of these approving votes is for, in minor units; None where all are for all that is asked.

    Whoever approves an amount approves every smaller one, so all of them consent to the least.
    """
    return min((vote.amount_minor for vote in votes if vote.amount_minor is not None), default=None)


def grant(
    case: Case, run: Run, decision: Decision, *, source: "Source", granted_by: str, amount_minor: int | None = None
) -> Authorization:
    """An unsaved authorization over exactly what was decided. The caller writes it in the deciding transaction.

    `amount_minor`: what people approved, in minor units, where that is less than what is asked; the hash is over it.
    """
    return Authorization(
        organization_id=case.organization_id,
        case=case,
        run=run,
        decision=decision,
        source=source,
        amount_minor=(case.amount_minor or 0) if amount_minor is None else amount_minor,
        currency=case.currency,
        target=case.target,
        content_hash=decision.content_hash if amount_minor is None else case.content_hash(run.facts, amount_minor),
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
    least = least_of(votes)
    if least is not None and authorization.amount_minor > least:
        return "It is over more than was approved: it has to be decided again."
    lost = why_lost(votes)
    return f"{lost}: it has to be decided again." if lost else ""
