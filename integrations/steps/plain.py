"""Acting that moves no money: what the other side is told comes from case and facts, and the same is done once."""

from typing import Any

from integrations.models import Action, Connection
from integrations.operations import Operation
from integrations.states import ActionState
from integrations.steps.told import values
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Outcome, Wait
from workflows.errors import StepFailed
from workflows.models import StepRun
from workflows.states import FailureKind, WaitsFor


def standing(context: RunContext, connection: Connection, operation: Operation) -> Outcome | None:
    """What follows from what this step did for the case before; None when it has to be done, perhaps anew."""
    sent = Action.objects.filter(case=context.case, step=context.step.key, connection=connection, moves_money=False)
    action = sent.filter(operation=operation.name).order_by("-pk").first()
    if action is None:
        return None
    match action.state:
        case ActionState.UNKNOWN if action.due_at is None:
            raise _failed(action, action.message)
        case ActionState.RESERVED | ActionState.SENDING | ActionState.UNKNOWN:
            return Wait(WaitsFor.ACTION, _words(action, action.message or "being sent"))
        case ActionState.SUCCEEDED if action.due_at is not None:
            return Wait(WaitsFor.ACTION, _words(action, action.message))
        case ActionState.FAILED:
            if _was_reported(context, action):
                return None
            raise _failed(action, action.message)
    if action.fields != values(context, operation):
        # What was told no longer holds: it is told anew, under a key of its own.
        return None
    if action.state == ActionState.MISMATCHED:
        raise _failed(action, f"{action.message} It is not done again: settle it by hand.")
    verified = action.state == ActionState.VERIFIED
    return Done(_words(action, "verified." if verified else action.message))


class Draft:
    """The content of an intent without money. Raises StepFailed at once where something it needs is not known."""

    def __init__(self, context: RunContext, operation: Operation) -> None:
        self._fields = values(context, operation)

    def of(self, connection: Connection) -> tuple[dict[str, Any], dict[str, Any], str]:
        """Columns of the action, what the audit log keeps of them, and on whose word."""
        columns = {"moves_money": False, "holds_reservation": False, "fields": self._fields}
        # Personal data stays in the action; the log says which fields were told.
        return columns, {"fields": sorted(self._fields)}, f"The workflow has it told to {connection.name}."


def _was_reported(context: RunContext, action: Action) -> bool:
    """Whether a person has seen this refusal already and had the step tried again."""
    reported = StepRun.objects.filter(
        run__case=context.case, key=action.step, outcome=StepRun.Outcome.FAILED, at__gte=action.created_at
    )
    return reported.exists()


def _words(action: Action, message: str) -> str:
    return f"{action.operation.capitalize()} through {action.connection.name}: {message}"


def _failed(action: Action, words: str) -> StepFailed:
    return StepFailed(FailureKind.DATA, words, connection=action.connection.slug)
