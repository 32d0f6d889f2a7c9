"""The step kind `take_back`: carries out a reversal under its own authorization, until the world shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models.functions import Now

from integrations.models import Action, Payment, Reversal
from integrations.queueing import place
from integrations.reversing import services
from integrations.reversing.offers import offer_of
from integrations.states import ActionState, ReversalState, Way
from integrations.steps import act, moving
from opsdesk.lib import queue
from workflows.engine.context import RunContext
from workflows.engine.failing import pause_before
from workflows.engine.outcomes import Done, Finish, Outcome, Wait
from workflows.errors import StepFailed
from workflows.states import CaseState, FailureKind, WaitsFor

ASKED_BACK = "refund.return_asked"  # the event by which money is asked back


class TakeBack:
    """Plans the counter-action once, then waits for its verification."""

    name = "take_back"
    asks_outside = False
    moves_money = True  # it undoes what may have moved some: never without consent, never skipped
    starts_over = True

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """Nothing to set: what is done follows from what the original's operation declares."""
        return [f"take_back has no setting “{name}”." for name in config]

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """Taking back is sent by the sender, not by the step."""

    def perform(self, context: RunContext) -> Outcome:
        """Plan it, or answer by what became of it. Raises StepFailed where nothing covers it or people have to look."""
        context.batch.flush()  # the authorization may be new, and is pointed at
        reversal = services.of_case(context.case)
        if reversal is None:
            raise StepFailed(FailureKind.DATA, "This case takes nothing back: it names no action.")
        reversal.case = context.case
        return _plan(context, reversal) if reversal.action is None else _by_state(reversal, reversal.action)


def _plan(context: RunContext, reversal: Reversal) -> Outcome:
    """Intent: original, authorization and switches are looked at once more, and the row written with its key."""
    original = Action.objects.select_for_update(of=("self",)).get(pk=reversal.original_id)
    original.connection, original.case = reversal.original.connection, reversal.original.case
    if not services.covers(context.case, original):
        raise StepFailed(FailureKind.DATA, "The case no longer says what it was asked for: withdraw it and ask anew.")
    grant = moving.newest_grant(context)
    refusal = moving.why_not_covered(context, grant)
    if grant is None or refusal:
        raise StepFailed(FailureKind.DATA, refusal)
    if grant.amount_minor != context.case.amount_minor:
        raise StepFailed(FailureKind.DATA, "It is taken back as a whole or not at all, and less was approved.")
    # This one stands itself: whether the world still allows it is what is asked.
    offer = offer_of(original, Way(reversal.way), None)
    if not offer.possible:
        services.close(reversal, ReversalState.FAILED, offer.refusal)
        return Finish(CaseState.REJECTED, offer.refusal)
    held = act.switched_off(reversal.connection, reversal.operation)
    if held:
        until = context.now + pause_before(4)
        return Wait(WaitsFor.CONNECTION, held, until=until, on=place(reversal.connection, reversal.operation))
    action = context.batch.add(
        Action(
            organization_id=context.run.organization_id,
            case=context.case,
            run=context.run,
            step=context.step.key,
            connection=reversal.connection,
            operation=reversal.operation,
            moves_money=False,
            holds_reservation=False,
            fields=_told(reversal, original),
        )
    )
    after = {"fields": sorted(action.fields), "key": str(action.key), "takes_back": original.pk}
    words = f"Authorized by {grant.granted_by}, to meet the {original.what} of {original.case}."
    context.record("integrations.action.planned", subject=action, after=after, reason=words)
    context.batch.flush()
    Reversal.objects.filter(pk=reversal.pk).update(action=action, authorization=grant)
    queue.ring("integrations.send_due")
    return Wait(
        WaitsFor.ACTION, f"{action.what[:1].upper()}{action.what[1:]} is being sent to {action.connection.name}."
    )


def _told(reversal: Reversal, original: Action) -> dict[str, Any]:
    """What the other side is told."""
    if reversal.way == Way.TAKE_BACK:
        return {"original_key": str(original.key), "original_reference": original.external_reference}
    case = original.case
    told = {
        "event": ASKED_BACK,
        "reference": case.key,
        "amount": {"minor": original.amount_minor, "currency": original.currency},
        "party": case.party,
        "target": case.target,
        "note": reversal.reason,
    }
    return {name: value for name, value in told.items() if value}


def _by_state(reversal: Reversal, action: Action) -> Outcome:
    what = reversal.original.what
    match action.state:
        case ActionState.UNKNOWN if action.due_at is None:
            raise _failed(action)
        case ActionState.RESERVED | ActionState.SENDING | ActionState.UNKNOWN:
            return Wait(WaitsFor.ACTION, f"Meeting the {what}: {action.message or 'being sent'}")
        case ActionState.SUCCEEDED if action.due_at is not None:
            return Wait(WaitsFor.ACTION, f"Meeting the {what}: {action.message}")
        case ActionState.FAILED:
            services.close(reversal, ReversalState.FAILED, action.message)
            return Finish(CaseState.REJECTED, action.message)
        case ActionState.MISMATCHED:
            raise _failed(action)
    words = f"The {what} of {reversal.original.case} was {Way(reversal.way).label}. {action.message}".strip()
    services.close(reversal, ReversalState.DONE, words)
    _have_read_again(reversal)
    return Done(words)


def _have_read_again(reversal: Reversal) -> None:
    """What was taken back is looked at again at once: the books of its payment follow from what the gateway shows."""
    original = reversal.original
    if original.payment_id is not None and reversal.way == Way.TAKE_BACK:
        Payment.objects.filter(pk=original.payment_id).update(reread_at=Now(), told_refunded_minor=None)
        Action.objects.filter(pk=original.pk, state=ActionState.SUCCEEDED).update(due_at=Now())
        queue.ring("integrations.send_due")


def _failed(action: Action) -> StepFailed:
    words = f"{action.message} It is not done again: settle it by hand."
    return StepFailed(FailureKind.DATA, words, connection=action.connection.slug)
