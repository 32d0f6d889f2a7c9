"""What its owner does with one run: pause, resume, try again, skip, restart, cancel, raise or lower.

Each control is one transaction under the case's and the run's locks, fits the state it finds there or is refused,
and leaves one entry with its reason. A worker that has the run at that moment writes nothing more: its epoch is over.
"""

from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from opsdesk.lib import queue
from workflows import cases
from workflows.engine import repairing
from workflows.engine.fitting import Looked, step_of, why_not
from workflows.errors import NotFitting
from workflows.models import Case, Run, StepRun
from workflows.states import RunState

# Smaller is more urgent; a version says where its runs begin.
PRIORITIES = {10: "urgent", 30: "high", 50: "normal", 70: "low", 90: "last"}


@transaction.atomic
def pause(run_id: int, *, by: User, reason: str) -> Run:
    """Let no worker take the run until somebody resumes it. What was sent outside already is still followed."""
    run, case = _held(run_id, "pause")
    paused = {"paused_at": Now(), "paused_why": f"{by}: {reason}"[:300]}
    before = {"state": run.state}
    if run.state == RunState.RUNNING:
        freed = {"wake_at": Now(), "lease_owner": "", "lease_until": None, "epoch": F("epoch") + 1}
        run.move_to(RunState.READY, **freed, **paused)
    else:
        Run.objects.filter(pk=run.pk).update(**paused)
    _say(case, f"Paused by {by}: {reason}")
    return _told("paused", run, by=by, reason=reason, before=before)


@transaction.atomic
def resume(run_id: int, *, by: User, reason: str) -> Run:
    """Let a paused run go on where it stood; what it waited for may have come meanwhile."""
    run, case = _held(run_id, "resume")
    before = {"paused": run.paused_why}
    Run.objects.filter(pk=run.pk).update(paused_at=None, paused_why="")
    _say(case, run.reason or "Goes on.")
    queue.ring("workflows.tick")
    return _told("resumed", run, by=by, reason=reason, before=before)


@transaction.atomic
def retry(run_id: int, *, by: User, reason: str) -> Run:
    """Try the step again: of a failed run, or at once of one that waits for its next try. Raises NotFitting."""
    run, _ = _held(run_id, "retry")
    if run.state == RunState.FAILED:
        return repairing.retry(run_id, by=by, reason=reason)
    run.move_to(RunState.READY, wake_at=Now())
    queue.ring("workflows.tick")
    return _told("hurried", run, by=by, reason=reason, after={"step": step_of(run).key})


@transaction.atomic
def restart(run_id: int, *, by: User, reason: str) -> Run:
    """Begin again with the first step; consent given is void. Raises NotFitting, also when an effect stands."""
    run, case = _held(run_id, "restart")
    cases.void_consent(case, f"{by} restarted the run")
    repairing.start_over(run, case, by=by, reason=reason, verb="workflows.run.restarted")
    _say(case, "Begins again with its first step.")
    run.refresh_from_db()
    return run


@transaction.atomic
def skip(run_id: int, *, step: str, by: User, reason: str) -> Run:
    """Leave out the step the run stands at, which `step` names. Raises NotFitting.

    Never a step that gives consent, decides about it or moves money; a decision that follows says what was left out.
    """
    run, case = _held(run_id, "skip")
    left_out = step_of(run)
    if left_out.key != step:
        raise NotFitting(f"It stands at the step {left_out.key} by now, not at {step}: look at it again.")
    StepRun.objects.create(
        run=run,
        position=left_out.position,
        key=left_out.key,
        kind=left_out.kind,
        outcome=StepRun.Outcome.SKIPPED,
        note=f"{by}: {reason}"[:300],
    )
    run.skipped = [*run.skipped, {"step": left_out.key, "by": str(by), "reason": reason}]
    run.save(update_fields=["skipped"])
    repairing.go_on(run, case, by=by, reason=reason, position=run.position + 1, verb="workflows.run.skipped")
    _say(case, f"{by} skipped the step {left_out.key}.")
    run.refresh_from_db()
    return run


@transaction.atomic
def cancel(run_id: int, *, by: User, reason: str) -> Run:
    """End the run and withdraw its case without effect. Raises NotFitting, also when an effect stands."""
    run, case = _held(run_id, "cancel")
    before = {"state": run.state}
    if not cases.withdraw(case.pk, actor=Actor.person(by), reason=f"Canceled by {by}: {reason}"):
        raise NotFitting("The case can no longer be withdrawn.")
    return _told("canceled", run, by=by, reason=reason, before=before)


@transaction.atomic
def prioritize(run_id: int, *, priority: int, by: User, reason: str) -> Run:
    """Have workers take the run earlier or later than others; one of PRIORITIES. Raises NotFitting."""
    run, _ = _held(run_id, "prioritize")
    if priority not in PRIORITIES:
        raise NotFitting("There is no such priority.")
    if priority == run.priority:
        raise NotFitting(f"Its priority is {PRIORITIES[priority]} already.")
    before = {"priority": run.priority}
    Run.objects.filter(pk=run.pk).update(priority=priority)
    return _told("prioritized", run, by=by, reason=reason, before=before, after={"priority": priority})


def _held(run_id: int, control: str) -> tuple[Run, Case]:
    """The run and its case under their locks, where the control fits them; raises NotFitting."""
    case = cases.locked(Run.objects.values_list("case_id", flat=True).get(pk=run_id))
    run = Run.objects.select_for_update(of=("self",)).get(pk=run_id)
    run.case = case
    refused = why_not(control, Looked(run))
    if refused:
        raise NotFitting(refused)
    return run, case


def _say(case: Case, words: str) -> None:
    Case.objects.filter(pk=case.pk).update(standing=words[:200])


def _told(verb: str, run: Run, *, by: User, reason: str, **states: Any) -> Run:
    """Write the entry, and give the run as the database has it now."""
    record(
        f"workflows.run.{verb}",
        actor=Actor.person(by),
        organization_id=run.organization_id,
        subject=("run", run.pk),
        case_id=run.case_id,
        reason=reason,
        **states,
    )
    run.refresh_from_db()
    return run
