"""Beginning a run of a version for a case, as whatever opened it asks: an event, a form, a timer, another run."""

from workflows.engine import turns
from workflows.engine.definitions import TriggerDefinition
from workflows.models import Case, Run, WorkflowVersion
from workflows.registry import Begins


def new_run(
    version: WorkflowVersion, case: Case, *, trigger: TriggerDefinition | None = None, begins: Begins | None = None
) -> Run:
    """An unsaved run that is due at once, with the priority and the concurrency key that its version declares.

    `trigger` is what began it, none for the version's own event type; `begins` what an event of the desk's own says.
    """
    return Run(
        organization_id=case.organization_id,
        workflow_id=version.workflow_id,
        version=version,
        case=case,
        priority=version.priority,
        concurrency_key=turns.key_of(version, case),
        trigger_id=trigger.pk if trigger else None,
        parent_id=begins.parent_id if begins else None,
    )
