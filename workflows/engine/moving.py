"""Moving a run to the version of its workflow that is in force: whether it may, where it goes on, and the move itself.

A run keeps its place where everything up to its step is the same in both versions. Otherwise it begins again with the
first step: a step that is new or was changed must not be passed by, and consent is asked anew.
"""

from typing import Any

from django.db import transaction

from accounts.models import User
from auditlog.services import Actor, record
from opsdesk.lib import queue
from workflows import cases
from workflows.engine import repairing, turns
from workflows.engine.definitions import definition_of
from workflows.engine.fitting import STANDS, UNDER_WAY, Looked, ended
from workflows.errors import NotFitting
from workflows.models import Case, Run, WorkflowVersion
from workflows.states import RunState, VersionState, WaitsFor


def keeps_place(run: Run, target: WorkflowVersion) -> bool:
    """Whether all steps up to the one the run stands at are the same in both versions."""
    end = run.position + 1
    return definition_of(run.version_id).steps[:end] == definition_of(target.pk).steps[:end]


def why_not(looked: Looked, target: WorkflowVersion | None) -> str:
    """Why the run cannot move there, in a sentence; "" when it can. Reads `run.case` and `run.version`."""
    run = looked.run
    wrong = ended(run) or _unfit(run.version, target)
    if wrong or target is None:
        return wrong
    if run.state == RunState.RUNNING:
        return "A worker is at it at this moment: pause it first."
    if run.acts:
        return UNDER_WAY
    return STANDS if not keeps_place(run, target) and looked.stands else ""


def _unfit(version: WorkflowVersion, target: WorkflowVersion | None) -> str:
    """Why no run of the one version can follow the other."""
    if target is None or target.state != VersionState.PUBLISHED:
        return "That version is not in force."
    if target.workflow_id != version.workflow_id:
        return "It follows another workflow."
    if target.pk == version.pk:
        return f"It follows {target} already."
    if (target.case_kind, target.fields) != (version.case_kind, version.fields):
        return f"{target} reads requests in another way: only new cases follow it."
    return ""


@transaction.atomic
def move(run_id: int, *, version: int, by: User, reason: str) -> bool:
    """Have a run follow another version from now on; True when it kept its place. Raises NotFitting."""
    case = cases.locked(Run.objects.values_list("case_id", flat=True).get(pk=run_id))
    run = Run.objects.select_for_update(of=("self",)).select_related("version__workflow").get(pk=run_id)
    run.case = case
    target = WorkflowVersion.objects.select_related("workflow").get(pk=version)
    refused = why_not(Looked(run), target)
    if refused:
        raise NotFitting(refused)
    before, kept = _place(run), keeps_place(run, target)
    if run.priority == run.version.priority:  # what a person chose for this run stays
        run.priority = target.priority
    run.version = target
    run.save(update_fields=["version", "priority"])
    if kept:
        _change_line(run, case)
    else:
        cases.void_consent(case, f"{by} moved the run to {target}")
        repairing.start_over(run, case, by=by, reason=reason, verb="workflows.run.restarted")
        Case.objects.filter(pk=case.pk).update(standing=f"Begins again with the first step of {target}."[:200])
    run.refresh_from_db()
    record(
        "workflows.run.moved",
        actor=Actor.person(by),
        organization_id=run.organization_id,
        subject=("run", run.pk),
        case_id=case.pk,
        before=before,
        after=_place(run),
        reason=reason,
    )
    return kept


def _place(run: Run) -> dict[str, Any]:
    return {"version": str(run.version), "state": run.state, "position": run.position}


def _change_line(run: Run, case: Case) -> None:
    """The version may let other runs go on beside it: the run leaves its line, and asks for a turn in the new one."""
    key = turns.key_of(run.version, case)
    if key == run.concurrency_key:
        return
    turns.pass_on(run)
    run.concurrency_key, run.in_turn = key, False
    run.save(update_fields=["concurrency_key", "in_turn"])
    if run.waits_for == WaitsFor.TURN and repairing.resume(run.pk):
        queue.ring("workflows.tick")
