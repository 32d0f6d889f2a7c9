"""The step kind `act`: one operation on an outside system, under an authorization, until the world shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Exists, OuterRef

from integrations import mirroring
from integrations.models import Action, Connection, Payment, Refund
from integrations.states import ActionState
from opsdesk.lib import queue
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
        action = Action.objects.filter(authorization_id=grant.pk).first() if grant is not None and grant.pk else None
        action = action or _standing_action(context.case)
        if action is not None:
            return _by_state(context.case, action)
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


def _standing_action(case: Case) -> Action | None:
    """What was sent for the case before, unless it certainly gave no money: beside it, nothing else is ever sent."""
    came_back = Refund.objects.filter(
        payment=OuterRef("payment"), reference=OuterRef("external_reference"), status=Refund.Status.FAILED
    )
    sent = Action.objects.filter(case=case).exclude(state=ActionState.FAILED)
    return sent.filter(~Exists(came_back)).order_by("-pk").first()


def _by_state(case: Case, action: Action) -> Outcome:
    match action.state:
        case ActionState.VERIFIED if (action.amount, action.payment.reference) == (case.amount, case.target):
            return Done(f"{action.amount} refunded, verified at the gateway.")
        case ActionState.VERIFIED | ActionState.MISMATCHED:
            return _as_it_stands(case, action)
        case ActionState.FAILED:
            raise StepFailed(
                FailureKind.DATA, action.message or "The gateway refused it.", connection=action.connection.slug
            )
    return Wait(WaitsFor.ACTION, f"Refund of {action.amount}: {action.message or 'being sent'}")


def _as_it_stands(case: Case, action: Action) -> Outcome:
    """Money went back that is not what the case asks for: people settle the difference, or correct the case to it."""
    refund = Refund.objects.filter(payment=action.payment, reference=action.external_reference).first()
    if refund is not None and refund.status != Refund.Status.FAILED:
        gone = Money(refund.amount_minor, refund.currency)
        if gone == case.amount and action.payment.reference == case.target:
            return Done(f"{gone} refunded, as the gateway shows it.")
        words = f"{action.message or f'{gone} went back.'} Nothing more is sent for this case: settle the rest by hand."
        raise StepFailed(FailureKind.DATA, words, connection=action.connection.slug)
    raise StepFailed(FailureKind.DATA, action.message or "The refund did not stand.", connection=action.connection.slug)
