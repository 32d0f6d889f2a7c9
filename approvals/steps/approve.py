"""The step kind `approve`: rules authorize at once, or people are asked, or told and given time to object."""

from collections.abc import Mapping, Sequence
from typing import Any

from approvals import opening
from approvals.grants import Source, grant
from approvals.models import Review
from approvals.states import REVIEW_FINAL, ReviewState
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Finish, Outcome, Wait
from workflows.errors import StepFailed
from workflows.models import Authorization, Decision
from workflows.states import CaseState, FailureKind, Tier, WaitsFor


class Approve:
    """Gets consent of the decided tier."""

    name = "approve"
    asks_outside = False
    moves_money = False
    starts_over = True

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """Nothing to set: tiers, stages and thresholds are configured for the organization."""
        return [f"approve has no setting “{name}”." for name in config]

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """Consent is asked of people, through the desk."""

    def perform(self, context: RunContext) -> Outcome:
        """Authorize by rule, open a review, or go on with what the review brought."""
        decision = context.decision or Decision.objects.filter(run=context.run).order_by("-pk").first()
        if decision is None:
            raise StepFailed(FailureKind.DEFECT, "There is nothing to approve: the workflow decides before it asks.")
        if decision.content_hash != context.case.content_hash(context.run.facts):
            raise StepFailed(FailureKind.DATA, "The content changed after the decision: it has to be decided again.")
        if decision.tier == Tier.INSTANT:
            return self._authorize_by_rule(context, decision)
        review = (
            Review.objects.filter(decision=decision).order_by("-pk").first() if not decision._state.adding else None
        )
        if review is None:
            return self._ask(context, decision)
        if review.state == ReviewState.VOID:
            return self._ask(context, decision)
        return _by_state(context, review)

    def _authorize_by_rule(self, context: RunContext, decision: Decision) -> Outcome:
        case, run = context.case, context.run
        if not case.target:
            raise StepFailed(FailureKind.DATA, "No payment is named, so there is nothing the money could go back to.")
        edition = f"{decision.rule_set or 'rules'}, {decision.policy or 'thresholds'}"
        context.grant = context.batch.add(grant(case, run, decision, source=Source.RULE, granted_by=edition))
        context.record(
            "approvals.authorization.granted",
            subject=context.grant,
            after={"amount": case.amount_minor, "currency": case.currency, "source": Source.RULE},
            reason=decision.sentence,
        )
        return Done("Authorized by rules.")

    def _ask(self, context: RunContext, decision: Decision) -> Outcome:
        if decision._state.adding:
            context.batch.flush()
        review = opening.open_review(context.case, context.run, decision, actor=context.actor)
        return Wait(WaitsFor.REVIEW, opening.waiting_words(review))


def _by_state(context: RunContext, review: Review) -> Outcome:
    if review.state not in REVIEW_FINAL:
        return Wait(WaitsFor.REVIEW, opening.waiting_words(review))
    if review.state == ReviewState.REJECTED:
        return Finish(CaseState.REJECTED, f"Rejected by {review.decided_by}.")
    context.grant = Authorization.objects.filter(decision_id=review.decision_id).first()
    if context.grant is None:
        raise StepFailed(FailureKind.DEFECT, "The review was approved and no authorization was written.")
    return Done("Approved.")
