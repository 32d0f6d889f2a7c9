"""Acting that moves money: under an authorization for just this, reserved first, never beside what stands already."""

from collections.abc import Collection
from typing import Any

from django.db.models import Exists, OuterRef

from integrations import mirroring
from integrations.models import Action, Connection, Payment, Refund
from integrations.operations import Operation
from integrations.reconciliation import effects
from integrations.reversing import standing as reversing
from integrations.states import ActionState
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.money import Money
from workflows import registry
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Finish, Outcome, Wait
from workflows.errors import StepFailed
from workflows.models import Authorization, Case
from workflows.states import CaseState, FailureKind, WaitsFor

_CHANGED = "The request or its facts changed after it was authorized: it has to be decided again."


def standing(context: RunContext, connection: Connection, operation: Operation) -> Outcome | None:
    """What follows from what was planned or sent for the case before; None when there is nothing of that."""
    grant = newest_grant(context)
    action = _sent(authorization=grant.pk).first() if grant is not None and grant.pk else None
    words = reversing.taken_back_words(action.pk) if action is not None and action.came_back else ""
    if words:
        return Finish(CaseState.CANCELED, words)
    action = action or _standing_action(context.case.pk)
    due = _due(context, grant)
    return _by_state(context.case, action, due) if action is not None else _lost(context, due)


def _due(context: RunContext, grant: Authorization | None) -> Money | None:
    """What is to go back: what was authorized over the present content, which may be less than what is asked."""
    case = context.case
    if grant is not None and grant.content_hash == case.content_hash(context.run.facts, grant.amount_minor):
        return grant.amount
    return case.amount


def _lost(context: RunContext, due: Money | None) -> Outcome | None:
    """What went back for the case in a time that the database has forgotten."""
    some = context.batch.remember(
        ("lost effects", context.run.organization_id), lambda: effects.exist(context.run.organization_id)
    )
    lost = effects.of_case(context.case) if some else None
    return effects.outcome_of(lost, context.case, due) if lost is not None else None


class Draft:
    """The money part of an intent. Raises StepFailed at once where no authorization covers it."""

    def __init__(self, context: RunContext) -> None:
        grant = newest_grant(context)
        refusal = why_not_covered(context, grant)
        if grant is None or refusal:
            raise StepFailed(FailureKind.DATA, refusal)
        self._grant = grant

    def of(self, connection: Connection) -> tuple[dict[str, Any], dict[str, Any], str]:
        """Columns of the action, what the audit log keeps of them, and on whose word; the amount is reserved."""
        grant = self._grant
        payment = Payment.objects.filter(connection=connection, reference=grant.target).first()
        if payment is None or payment.currency != grant.currency:
            raise StepFailed(
                FailureKind.DATA,
                "There is no payment to refund in this currency: name the payment.",
                connection=connection.slug,
            )
        if not mirroring.reserve(payment.pk, grant.amount_minor):
            raise StepFailed(
                FailureKind.DATA,
                f"Only {payment.left} of the payment is left, {grant.amount} was to go back.",
                connection=connection.slug,
            )
        crashpoint("intent.reserved")
        amount = {"amount_minor": grant.amount_minor, "currency": grant.currency}
        columns = {"moves_money": True, "authorization": grant, "payment": payment, **amount}
        told = {"amount": grant.amount_minor, "currency": grant.currency, "target": grant.target}
        return columns, told, f"Authorized by {grant.granted_by}."


def newest_grant(context: RunContext) -> Authorization | None:
    if context.grant is not None:
        return context.grant
    grants = Authorization.objects.filter(run=context.run).select_related("decision")
    return grants.order_by("-pk").first()


def why_not_covered(context: RunContext, grant: Authorization | None) -> str:
    """Why it must not be done: an authorization for other content, or one whose givers lost the right."""
    case = context.case
    if grant is None:
        return "No authorization covers this refund."
    whole = case.content_hash(context.run.facts)
    if whole not in {grant.content_hash, grant.decision.content_hash}:
        return _CHANGED
    if case.amount_minor is None or grant.amount_minor > case.amount_minor or grant.currency != case.currency:
        return "The authorization is over another amount."
    if grant.content_hash != case.content_hash(context.run.facts, grant.amount_minor):
        return _CHANGED
    if grant.target != case.target or not grant.target:
        return "The authorization is for another payment."
    return next((text for check in registry.grant_checks for text in [check(grant)] if text), "")


def standing_among(case_ids: Collection[int]) -> set[int]:
    """Those of the cases of which money went back, or may have gone."""
    return set(_standing(case__in=case_ids).values_list("case_id", flat=True))


def _sent(**conditions: object) -> Any:
    """Actions with their payments, and `came_back` where the gateway's refund failed in the end."""
    failed = Refund.objects.filter(
        payment=OuterRef("payment"), reference=OuterRef("external_reference"), status=Refund.Status.FAILED
    )
    moving = Action.objects.filter(moves_money=True, **conditions)
    return moving.annotate(came_back=Exists(failed)).select_related("payment")


def _standing_action(case_id: int) -> Action | None:
    """What was sent for the case before, unless it certainly gave no money: beside it, nothing else is ever sent."""
    action: Action | None = _standing(case=case_id).order_by("-pk").first()
    return action


def _standing(**conditions: object) -> Any:
    return _sent(**conditions).exclude(state=ActionState.FAILED).filter(came_back=False)


def _by_state(case: Case, action: Any, due: Money | None) -> Outcome:
    gone = action.amount
    match action.state:
        case ActionState.FAILED:
            raise _failed(action, action.message or "The gateway refused it.")
        case ActionState.VERIFIED | ActionState.MISMATCHED if action.came_back:
            # The news came between the verification and this turn.
            raise _failed(action, "The gateway accepted the refund and then failed it.")
        case ActionState.MISMATCHED:
            gone = _seen(action)
            if gone == action.amount:
                # It differs otherwise: the gateway does not show it any more, or on another payment.
                raise _failed(action, f"{action.message} Nothing more is sent for it: settle it by hand.")
        case ActionState.VERIFIED:
            pass
        case _:
            return Wait(WaitsFor.ACTION, f"Refund of {action.amount}: {action.message or 'being sent'}")
    if (gone, action.payment.reference) != (due, case.target):
        # People settle the difference, or correct the case to what happened.
        words = action.message if action.state == ActionState.MISMATCHED else f"{gone} went back for this case before."
        raise _failed(action, f"{words} Nothing more is sent for it: settle the rest by hand.")
    return Done(f"{gone} refunded, verified at the gateway.")


def _seen(action: Action) -> Money | None:
    """What really went back, as the gateway showed it."""
    refund = Refund.objects.filter(payment=action.payment_id, reference=action.external_reference).first()
    return Money(refund.amount_minor, refund.currency) if refund else None


def _failed(action: Action, words: str) -> StepFailed:
    return StepFailed(FailureKind.DATA, words, connection=action.connection.slug)
