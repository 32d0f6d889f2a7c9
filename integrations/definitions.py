"""What the outside says about a definition: its connections exist, and can do and are told what its steps want."""

from collections.abc import Iterator

from integrations.gateways import knows_payments
from integrations.models import Connection
from integrations.operations import operation_of
from integrations.steps.gather import DEFAULT_GATEWAY
from integrations.steps.told import check_told
from workflows.models import Step, WorkflowVersion


def connections_exist(version: WorkflowVersion) -> list[str]:
    """Sentences about steps that name a connection the organization does not have, or ask of it what it cannot do."""
    rows = Connection.objects.filter(organization_id=version.workflow.organization_id)
    known = {connection.slug: connection for connection in rows.defer("secret")}
    return [
        f"Step {step.key}: {text}"
        for step in version.steps.order_by("position")
        if isinstance(step.config, dict)
        for text in [*_check(step, known), *_check_asked(version, step, known)]
    ]


def _check_asked(version: WorkflowVersion, step: Step, known: dict[str, Connection]) -> Iterator[str]:
    """What a step that gathers would ask about the payment that a case names, where cases name one."""
    names_payment = isinstance(version.fields, dict) and "target" in version.fields
    if step.kind != "gather" or not (names_payment or step.config.get("connection")):
        return
    connection = known.get(str(step.config.get("connection", DEFAULT_GATEWAY)))
    if connection is None and not step.config.get("connection"):
        yield f"there is no connection “{DEFAULT_GATEWAY}” to ask about payments: name the one that is asked."
    elif connection is not None and not knows_payments(connection):
        yield f"{connection.name} knows no payments: name the connection of a payment gateway."


def _check(step: Step, known: dict[str, Connection]) -> Iterator[str]:
    slug, name = step.config.get("connection"), step.config.get("operation")
    if not slug:
        return
    connection = known.get(str(slug))
    if connection is None:
        yield f"there is no connection “{str(slug)[:40]}”."
    elif step.kind == "act" and name:
        operation = operation_of(connection, name)
        if operation is None:
            yield f"{connection.name} cannot {name}."
            return
        fields = step.config.get("fields", {})
        yield from check_told(operation, fields if isinstance(fields, dict) else {})
