"""What the outside says about a definition: its connections exist, and can do and are told what its steps want."""

from collections.abc import Iterator

from integrations.models import Connection
from integrations.operations import operation_of
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
        for text in _check(step, known)
    ]


def _check(step: Step, known: dict[str, Connection]) -> Iterator[str]:
    slug, name = step.config.get("connection"), step.config.get("operation")
    if not slug:
        return
    connection = known.get(slug)
    if connection is None:
        yield f"there is no connection “{slug}”."
    elif step.kind == "act" and name:
        operation = operation_of(connection, name)
        if operation is None:
            yield f"{connection.name} cannot {name}."
            return
        fields = step.config.get("fields", {})
        yield from check_told(operation, fields if isinstance(fields, dict) else {})
