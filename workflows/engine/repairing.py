"""Waking, sweeping, canceling and repairing runs."""

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from opsdesk.lib import queue
from opsdesk.lib.crashing import crashpoint
from workflows import cases, registry
from workflows.engine import failing, turns
from workflows.engine.definitions import definition_of
from workflows.errors import NotRepairable, StepFailed
from workflows.models import Case, Run
from workflows.states import CaseState, FailureKind, RunState, WaitsFor

# A run whose worker died this often takes its workers with it; a person has to look.
MOST_LOST_LEASES = 3


def resume(run_id: int) -> bool:
    """Wake a waiting run because what it waited for has happened. The caller holds the case's row lock."""
    woken = Run.objects.filter(pk=run_id, state=RunState.WAITING).update(state=RunState.READY, wake_at=Now())
    queue.ring("workflows.tick")
    return woken == 1


def tell(run_id: int, *, waits_for: WaitsFor, reason: str, on: str = "") -> None:
    """Say anew why a waiting run waits; the caller holds the case's row lock."""
    waiting = Run.objects.filter(pk=run_id, state=RunState.WAITING)
    if waiting.update(waits_for=waits_for, waits_on=on, reason=reason[:300]):
        Case.objects.filter(runs=run_id).update(standing=reason[:200])


def sweep() -> int:
    """Give back runs whose worker has gone, and park those that lost their worker too often."""
    lost = Run.objects.filter(state=RunState.RUNNING, lease_until__lt=Now())
    poisoned = list(lost.filter(lost_leases__gte=MOST_LOST_LEASES - 1).values_list("pk", "case_id"))
    for run_id, case_id in poisoned:
        _park_poison(run_id, case_id)
        crashpoint("poison.after_commit")
    crashpoint("sweep.before")
    returned = Run.objects.filter(
        state=RunState.RUNNING, lease_until__lt=Now(), lost_leases__lt=MOST_LOST_LEASES - 1
    ).update(
        state=RunState.READY,
        wake_at=Now(),
        lease_owner="",
        lease_until=None,
        epoch=F("epoch") + 1,
        lost_leases=F("lost_leases") + 1,
    )
    crashpoint("sweep.after")
    return returned + len(poisoned)


def let_go(runs: Iterable[Run]) -> None:
    """Give up runs that did not come to an end in time, as if this worker had died of them: counted, and then singly.

    Nobody knows which one it was; the others lose nothing but a moment.
    """
    for run in runs:
        held = Run.objects.filter(pk=run.pk, state=RunState.RUNNING, epoch=run.epoch)
        held.update(lease_until=Now() - timedelta(seconds=1))
    sweep()


@transaction.atomic
def _park_poison(run_id: int, case_id: int) -> None:
    case = cases.locked(case_id)
    run = (
        Run.objects.select_for_update(of=("self",))
        .select_related("version__workflow")
        .filter(pk=run_id, state=RunState.RUNNING, lease_until__lt=Now())
        .first()
    )
    if run is None:
        return
    steps = definition_of(run.version_id).steps
    step = steps[min(run.position, len(steps) - 1)]
    failed = StepFailed(
        FailureKind.DEFECT,
        f"The worker died or came to no end {MOST_LOST_LEASES} times at the step {step.key}: look before trying again.",
    )
    run.move_to(
        RunState.FAILED, ended_at=Now(), wake_at=None, lease_owner="", lease_until=None, reason=failed.message,
        waits_for="", waits_on="", lost_leases=MOST_LOST_LEASES,
    )  # fmt: skip
    turns.pass_on(run)
    case.move_to(CaseState.FAILED, standing=failed.message[:200])
    failing.open_failure(run, workflow=run.version.workflow.slug, step=step.key, failed=failed)
    record(
        "workflows.run.failed",
        actor=Actor.desk("sweeper"),
        organization_id=run.organization_id,
        subject=("run", run.pk),
        case_id=case.pk,
        reason=failed.message,
    )
    crashpoint("poison.before_commit")


@transaction.atomic
def retry(run_id: int, *, by: User, reason: str) -> Run:
    """Try the failed step of a run once more. Raises NotRepairable."""
    case_id = Run.objects.values_list("case_id", flat=True).get(pk=run_id)
    case = cases.locked(case_id)
    run = Run.objects.select_for_update(of=("self",)).get(pk=run_id)
    if run.state != RunState.FAILED or case.state != CaseState.FAILED:
        raise NotRepairable
    steps = definition_of(run.version_id).steps
    step = steps[min(run.position, len(steps) - 1)]
    # What was done outside is not decided anew: the step itself says what follows from it.
    kind = registry.step_kinds.get(step.kind)
    if kind is None:
        raise NotRepairable(f"This release does not know what the step {step.key} does: wait for the newer one.")
    if kind.starts_over and not registry.stands(run.case_id):
        start_over(run, case, by=by, reason=reason)
    else:
        go_on(run, case, by=by, reason=reason, position=run.position)
    crashpoint("repair.before_commit")
    transaction.on_commit(lambda: crashpoint("repair.after_commit"))
    return run


def start_over(run: Run, case: Case, *, by: User, reason: str, verb: str = "workflows.run.repaired") -> None:
    """Send a run back to its first step, nothing gathered and nothing left out; the caller holds both row locks."""
    run.facts, run.skipped = {}, []
    key = turns.key_of(run.version, case)
    if key != run.concurrency_key:
        turns.pass_on(run)
        run.concurrency_key, run.in_turn = key, False
    run.save(update_fields=["facts", "skipped", "concurrency_key", "in_turn"])
    go_on(run, case, by=by, reason=reason, position=0, verb=verb)


def go_on(run: Run, case: Case, *, by: User, reason: str, position: int, verb: str = "workflows.run.repaired") -> None:
    """Have a run taken up at a step; the caller holds both row locks. A worker that has it writes nothing more."""
    before = {"state": run.state, "position": run.position}
    changes = {
        "position": position, "wake_at": Now(), "waits_for": "", "waits_on": "", "reason": "", "attempt": 0,
        "ended_at": None, "waiting_since": None, "lost_leases": 0, "epoch": F("epoch") + 1, "lease_owner": "",
        "lease_until": None, "kept": {},
    }  # fmt: skip
    if run.state == RunState.FAILED:
        changes["in_turn"] = False  # others had the turn meanwhile
    if run.state == RunState.READY:
        Run.objects.filter(pk=run.pk, state=RunState.READY).update(**changes)
    else:
        run.move_to(RunState.READY, **changes)
    if case.state == CaseState.FAILED:
        case.move_to(CaseState.OPEN, standing="Is tried again.")
    failing.take_off(run, actor=Actor.person(by), reason="Its last run was repaired.")
    record(
        verb,
        actor=Actor.person(by),
        organization_id=run.organization_id,
        subject=("run", run.pk),
        case_id=case.pk,
        before=before,
        after={"position": position},
        reason=reason,
    )
    queue.ring("workflows.tick")
