"""What the outside says about a definition: the connections that its steps name must exist."""

from integrations.models import Connection
from workflows.models import WorkflowVersion


def connections_exist(version: WorkflowVersion) -> list[str]:
    """Sentences about steps that name a connection the organization does not have."""
    known = set(
        Connection.objects.filter(organization_id=version.workflow.organization_id).values_list("slug", flat=True)
    )
    return [
        f"Step {step.key}: there is no connection “{step.config['connection']}”."
        for step in version.steps.order_by("position")
        if isinstance(step.config, dict) and step.config.get("connection") and step.config["connection"] not in known
    ]
