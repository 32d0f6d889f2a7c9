"""The step kind `act`: one operation on an outside system, under an authorization, until the world shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Exists, OuterRef

from integrations import mirroring
from integrations.models import Action, Connection, Payment, Refund
from integrations.reconciliation import effects
from integrations.states import ActionState
from opsdesk.lib import queue
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.money import Money
from workflows import registry
from workflows.engine.context import RunContext
from workflows.engine.failing import pause_before
from workflows.engine.outcomes import Done, Outcome, Wait
from workflows.errors import StepFailed
from workflows.models import Authorization, Case
from workflows.states import FailureKind, WaitsFor

OPERATIONS = ("refund",)


class Act:
    """Plans an action once, then waits for its verification."""

    name = "act"
    asks_outside = False
    moves_money = True
    # What was refused is decided afresh: facts and consent may no longer be what they were.
    starts_over = True

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """`connection`: slug of a gateway; `operation`: refund."""
        found = [f"act has no setting “{name}”." for name in config if name not in ("connection", "operation")]
        if config.get("operation") not in OPERATIONS:
            found.append(f"act can do {', '.join(OPERATIONS)}; “{config.get('operation')}” is not one of them.")
        if not config.get("connection"):
            found.append("act needs a connection.")
        return found

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """Acting is sent by the sender, not by the step."""

    def perform(self, context: RunContext) -> Outcome:
        """Plan the action, or answer by its state. Raises StepFailed when it was refused or must not be sent."""
        grant = _newest_grant(context)
        action = _sent(authorization=grant.pk).first() if grant is not None and grant.pk else None
        action = action or _standing_action(context.case.pk)
        if action is not None:
            return _by_state(context.case, action)
        some = context.batch.remember(
            ("lost effects", context.run.organization_id), lambda: effects.exist(context.run.organization_id)
        )
        lost = effects.of_case(context.case) if some else None
        if lost is not None:
            return effects.outcome_of(lost, context.case)
        return self._plan(context, grant)

    def _plan(self, context: RunContext, grant: Authorization | None) -> Outcome:
        """Intent: authorization, switches, reservation and the row with its key, all in the run's transaction."""
        case, run, config = context.case, context.run, context.step.config
        refusal = _refusal(context, grant)
        if grant is None or refusal:
            raise StepFailed(FailureKind.DATA, refusal)
        place = (run.organization_id, config["connection"])
        connection = context.batch.remember(("connection", *place), lambda: _connection(*place))
        if not (connection.enabled and connection.acting_enabled and connection.organization.acting_enabled):
            reason = f"Sending through {connection.name} is switched off. {connection.paused_reason}".strip()
            return Wait(WaitsFor.CONNECTION, reason, until=context.now + pause_before(4))
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
        action = context.batch.add(
            Action(
                organization_id=run.organization_id,
                case=case,
                run=run,
                step=context.step.key,
                connection=connection,
                operation=config["operation"],
                authorization=grant,
                payment=payment,
                amount_minor=grant.amount_minor,
                currency=grant.currency,
            )
        )
        context.record(
            "integrations.action.planned",
            subject=action,
            after={
                "amount": grant.amount_minor,
                "currency": grant.currency,
                "target": grant.target,
                "key": str(action.key),
            },
            reason=f"Authorized by {grant.granted_by}.",
        )
        queue.ring("integrations.send_due")
        return Wait(WaitsFor.ACTION, f"Refund of {grant.amount} is being sent to {connection.name}.")


def _connection(organization_id: int, slug: str) -> Connection:
    return Connection.objects.select_related("organization").get(organization_id=organization_id, slug=slug)


def _newest_grant(context: RunContext) -> Authorization | None:
    if context.grant is not None:
        return context.grant
    return Authorization.objects.filter(run=context.run).order_by("-pk").first()


def _refusal(context: RunContext, grant: Authorization | None) -> str:
    """Why the money must not move: an authorization for other content, or one whose givers lost the right."""
    case = context.case
    if grant is None:
        return "No authorization covers this refund."
    if grant.content_hash != case.content_hash(context.run.facts):
        return "The request or its facts changed after it was authorized: it has to be decided again."
    if case.amount_minor is None or grant.amount_minor > case.amount_minor or grant.currency != case.currency:
        return "The authorization is over another amount."
    if grant.target != case.target or not grant.target:
        return "The authorization is for another payment."
    return next((text for check in registry.grant_checks for text in [check(grant)] if text), "")


def stands(case_id: int) -> bool:
    """Whether money of the case went back, or may have gone."""
    return _standing_action(case_id) is not None


def _sent(**conditions: object) -> Any:
    """Actions with their payments, and `came_back` where the gateway's refund failed in the end."""
    failed = Refund.objects.filter(
        payment=OuterRef("payment"), reference=OuterRef("external_reference"), status=Refund.Status.FAILED
    )
    return Action.objects.filter(**conditions).annotate(came_back=Exists(failed)).select_related("payment")


def _standing_action(case_id: int) -> Action | None:
    """What was sent for the case before, unless it certainly gave no money: beside it, nothing else is ever sent."""
    sent = _sent(case=case_id).exclude(state=ActionState.FAILED).filter(came_back=False)
    action: Action | None = sent.order_by("-pk").first()
    return action


def _by_state(case: Case, action: Any) -> Outcome:
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
    if (gone, action.payment.reference) != (case.amount, case.target):
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
