"""The step kind `act`: one operation on an outside system, until the world shows it; money under an authorization."""

from collections.abc import Mapping, Sequence
from typing import Any

from integrations import operations
from integrations.holds import off_words
from integrations.models import Action, Connection, OperationSwitch
from integrations.operations import Operation
from integrations.queueing import place
from integrations.steps import moving, plain
from integrations.steps.told import check_fields
from opsdesk.lib import queue
from workflows.engine.context import RunContext
from workflows.engine.failing import pause_before
from workflows.engine.outcomes import Outcome, Wait
from workflows.errors import StepFailed
from workflows.states import FailureKind, WaitsFor

_SETTINGS = ("connection", "operation", "fields")


class Act:
    """Plans an action once, then waits for its verification."""

    name = "act"
    asks_outside = False
    moves_money = True
    # What was refused is decided afresh: facts and consent may no longer be what they were.
    starts_over = True

    def moves_money_with(self, config: Mapping[str, Any]) -> bool:
        """Whether the operation moves money, at any system that can do it; one that nobody declares might."""
        found = operations.declared(str(config.get("operation", "")))
        return not found or any(operation.moves_money for operation in found)

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """`connection`: slug of one; `operation`: what it shall do; `fields`: where each thing it is told comes from.

        Whether that connection can do it, and is told all it needs, is checked with the whole definition.
        """
        found = [f"act has no setting “{name}”." for name in config if name not in _SETTINGS]
        known = operations.operation_names()
        if config.get("operation") not in known:
            found.append(f"act can do {', '.join(known)}; “{config.get('operation')}” is not one of them.")
        if not config.get("connection"):
            found.append("act needs a connection.")
        return found + check_fields(config.get("fields", {}))

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """Acting is sent by the sender, not by the step."""

    def perform(self, context: RunContext) -> Outcome:
        """Plan the action, or answer by its state. Raises StepFailed when it was refused or must not be sent."""
        connection = _connection(context)
        operation = _operation(context, connection)
        standing = moving.standing if operation.moves_money else plain.standing
        return standing(context, connection, operation) or _plan(context, connection, operation)


def _plan(context: RunContext, connection: Connection, operation: Operation) -> Outcome:
    """Intent: authorization, switches, reservation and the row with its key, all in the run's transaction."""
    draft = moving.Draft(context) if operation.moves_money else plain.Draft(context, operation)
    reason: str = context.batch.remember(
        ("switched off", connection.pk, operation.name), lambda: switched_off(connection, operation.name)
    )
    if reason:
        until = context.now + pause_before(4)
        return Wait(WaitsFor.CONNECTION, reason, until=until, on=place(connection, operation.name))
    content, told, words = draft.of(connection)
    action = context.batch.add(
        Action(
            organization_id=context.run.organization_id,
            case=context.case,
            run=context.run,
            step=context.step.key,
            connection=connection,
            operation=operation.name,
            **content,
        )
    )
    after = {**told, "key": str(action.key)}
    context.record("integrations.action.planned", subject=action, after=after, reason=words)
    queue.ring("integrations.send_due")
    return Wait(WaitsFor.ACTION, f"{action.what[:1].upper()}{action.what[1:]} is being sent to {connection.name}.")


def _connection(context: RunContext) -> Connection:
    place = (context.run.organization_id, context.step.config["connection"])
    found: Connection = context.batch.remember(("connection", *place), lambda: _read_connection(*place))
    return found


def _read_connection(organization_id: int, slug: str) -> Connection:
    return Connection.objects.select_related("organization").get(organization_id=organization_id, slug=slug)


def _operation(context: RunContext, connection: Connection) -> Operation:
    """What the step does, as it is over this connection. Raises StepFailed where the connection cannot do it."""
    name = str(context.step.config["operation"])
    found: Operation | None = context.batch.remember(
        ("operation", connection.pk, name), lambda: operations.operation_of(connection, name)
    )
    if found is None:
        words = f"{connection.name} cannot {name}: its protocol has no such operation."
        raise StepFailed(FailureKind.DATA, words, connection=connection.slug)
    return found


def switched_off(connection: Connection, operation: str) -> str:
    """Which kill switch keeps the operation from being planned, in words; read in the run's transaction."""
    if not (connection.enabled and connection.acting_enabled and connection.organization.acting_enabled):
        return f"Sending through {connection.name} is switched off. {connection.paused_reason}".strip()
    switch = OperationSwitch.objects.filter(connection=connection, operation=operation).select_related("by").first()
    return off_words(connection, switch) if switch is not None else ""
