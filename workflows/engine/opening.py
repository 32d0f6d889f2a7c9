"""Beginning a run of a version for a case, as whatever opened it asks: an event, a form, a timer, another run."""

from workflows.engine import turns
from workflows.models import Case, Run, WorkflowVersion


def new_run(version: WorkflowVersion, case: Case) -> Run:
    """An unsaved run that is due at once, with the priority and the concurrency key that its version declares."""
    return Run(
        organization_id=case.organization_id,
        workflow_id=version.workflow_id,
        version=version,
        case=case,
        priority=version.priority,
        concurrency_key=turns.key_of(version, case),
    )
