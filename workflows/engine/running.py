"""Claiming due runs and moving them through their steps."""

import os
import socket
from collections.abc import Sequence
from datetime import timedelta

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from opsdesk.lib import clock
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.database import is_busy, is_lost, patiently
from opsdesk.lib.rows import write_changes
from workflows import registry
from workflows.engine import conditions, failing, turns, waking
from workflows.engine.context import Batch, RunContext
from workflows.engine.definitions import definition_of
from workflows.engine.outcomes import Done, Finish, LeftOut, Outcome, Wait
from workflows.errors import StepFailed
from workflows.models import Case, Recovery, Run, StepRun, Workflow
from workflows.recovery import tide
from workflows.registry import step_kinds
from workflows.states import CaseState, FailureKind, RunState, WaitsFor

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=60)
# One in so many of a full batch is taken by age instead of priority.
_OLDEST_SHARE = 5
# What this worker's code does not know is offered again after so long, to whoever takes it then.
_LEFT_TO_OTHERS = timedelta(seconds=15)
_RUN_FIELDS = (
    "state", "position", "kept", "facts", "wake_at", "waits_for", "waits_on", "reason", "waiting_since", "attempt",
    "lease_owner", "lease_until", "lost_leases", "ended_at", "in_turn",
)  # fmt: skip
_CASE_FIELDS = ("state", "standing", "party_name", "closed_at")


def claimable() -> QuerySet[Run]:
    """Runs a worker may take now: due, and held back by no switch and no recovery; most urgent first.

    Those are few: asking for them first, instead of joining them, keeps a long line on its index.
    """
    recovering = Recovery.objects.open().values("organization")
    off = Workflow.objects.filter(
        Q(enabled=False) | Q(organization__acting_enabled=False) | Q(organization__in=recovering)
    )
    held = list(off.order_by().values_list("pk", flat=True))
    return Run.objects.due().exclude(workflow__in=held) if held else Run.objects.due()


def claim(limit: int = 20) -> list[Run]:
    """Take due runs for this worker, each with a lease and an epoch of its own.

    Four fifths of a full batch are the most urgent; the last fifth are those that have been due for longest, whatever
    their priority. So bulk work never holds up what is urgent, and what is urgent never starves the rest for ever.
    """
    owner = f"{socket.gethostname()}:{os.getpid()}"[:60]
    tide.look_when_connected_anew()
    with transaction.atomic():
        runs = _unsuspected(_due(limit))
        if runs:
            Run.objects.filter(pk__in=[run.pk for run in runs]).update(
                state=RunState.RUNNING, lease_owner=owner, lease_until=Now() + LEASE, epoch=F("epoch") + 1
            )
            crashpoint("claim.before_commit")
    if runs:
        crashpoint("claim.after_commit")
    for run in runs:
        run.take_over(RunState.RUNNING, lease_owner=owner, epoch=run.epoch + 1)
    return runs


def _due(limit: int) -> list[Run]:
    """The most urgent and the oldest of the claimable runs, locked."""
    due = claimable().select_related("case").select_for_update(skip_locked=True, of=("self",))
    urgent = limit - limit // _OLDEST_SHARE
    runs = list(due.order_by("priority", "wake_at")[:urgent])
    if len(runs) == urgent < limit:
        oldest = due.exclude(pk__in=[run.pk for run in runs]).order_by("wake_at")
        runs += oldest[: limit - urgent]
    return runs


def _unsuspected(runs: list[Run]) -> list[Run]:
    """The first of these runs that may go together: one that lost its worker goes alone, or it takes others along."""
    suspect = next((place for place, run in enumerate(runs) if run.lost_leases), len(runs))
    return runs[: max(suspect, 1)]


def advance(runs: Sequence[Run]) -> None:
    """Move claimed runs as far as they go. One that breaks is looked at alone, so that the others do not wait.

    Raises SoftTimeLimitExceeded when one of them does not come to an end.
    """
    waiting = list(runs)
    while waiting:
        try:
            contexts = [_context(run) for run in waiting]
            _fetch(contexts)
            waiting = _turn(contexts)
        except SoftTimeLimitExceeded:
            raise  # whoever gave the time lets go of all of them
        except Exception as error:
            if is_lost(error):
                raise  # the leases bring them back
            if len(waiting) == 1:
                _give_up(waiting[0], error)
            else:
                _each_alone(waiting, error)
            return


def _each_alone(runs: Sequence[Run], error: Exception) -> None:
    log.info("runs_taken_singly", count=len(runs), error=str(error))
    for run in runs:
        rows = Run.objects.select_related("case").filter(pk=run.pk, state=RunState.RUNNING, epoch=run.epoch)
        try:
            fresh = patiently(rows.first)
            if fresh is not None:
                advance([fresh])
        except SoftTimeLimitExceeded:
            raise
        except Exception as trouble:
            if is_lost(trouble):
                raise
            # Not even its failure could be written; its lease brings it back, and the others go on.
            log.exception("run_left_to_its_lease", run_id=run.pk)


def _context(run: Run) -> RunContext:
    definition = definition_of(run.version_id)
    step = definition.steps[min(run.position, len(definition.steps) - 1)]
    return RunContext(run, run.case, definition, step, Batch(), clock.now())


def _fetch(contexts: Sequence[RunContext]) -> None:
    """Let steps that ask the outside world do so, together, before any transaction is open."""
    # A run whose last step was skipped has nothing left to ask.
    asking = [context for context in contexts if context.run.position < len(context.definition.steps)]
    for name in {context.step.kind for context in asking}:
        kind = step_kinds.get(name)
        if kind is not None and kind.asks_outside:
            crashpoint("fetch.before")
            kind.fetch([context for context in asking if context.step.kind == name])
            crashpoint("fetch.after")


def _turn(contexts: list[RunContext]) -> list[Run]:
    """One transaction: perform steps of all runs until each waits, ends, or has to ask the outside world."""
    again: list[Run] = []
    batch = Batch()
    with transaction.atomic():
        cases = {
            case.pk: case
            for case in Case.objects.filter(pk__in=[context.run.case_id for context in contexts])
            .order_by("pk")
            .select_for_update()
        }
        held = {
            (pk, epoch): asked_at
            for pk, epoch, asked_at in Run.objects.filter(
                pk__in=[context.run.pk for context in contexts], state=RunState.RUNNING
            )
            .order_by("pk")
            .select_for_update()
            .values_list("pk", "epoch", Now())
        }
        mine = [context for context in contexts if (context.run.pk, context.run.epoch) in held]
        waits = turns.take([context.run for context in mine])
        for context in mine:
            context.batch, context.case, context.run.case = (
                batch,
                cases[context.run.case_id],
                cases[context.run.case_id],
            )
            if context.run.pk in waits:
                _stop(context, waits[context.run.pk])
                continue
            with structlog.contextvars.bound_contextvars(run_id=context.run.pk, case_id=context.run.case_id):
                goes_on = _perform_steps(context)
            if goes_on:
                # Stays claimed: the lease is renewed with this write, by the clock that ends it.
                context.run.lease_until = held[context.run.pk, context.run.epoch] + LEASE
                again.append(context.run)
        batch.flush()
        write_changes([context.run for context in mine], _RUN_FIELDS)
        write_changes([context.case for context in mine if context.case_changed], _CASE_FIELDS)
        crashpoint("step.before_commit")
    crashpoint("step.after_commit")
    return again


def _perform_steps(context: RunContext) -> bool:
    """Perform steps until the run stops for now; True when the next step has to ask the outside world first."""
    run, steps = context.run, context.definition.steps
    if run.position >= len(steps):
        _stop(context, Finish(CaseState.DONE, "Every step is done or was skipped by a person."))
        return False
    while True:
        if context.step.kind not in step_kinds:
            _put_back(context)
            return False
        try:
            outcome = _outcome(context)
        except StepFailed as failed:
            _after_failure(context, failed)
            return False
        _note(context, outcome)
        if not isinstance(outcome, Done):
            _stop(context, outcome)
            return False
        run.position, run.attempt, run.lost_leases = context.step.position + 1, 0, 0
        run.reason, run.waits_for, run.waits_on, run.waiting_since, run.kept = "", "", "", None, {}
        if run.position >= len(steps):
            _stop(context, Finish(CaseState.DONE, outcome.note or "Every step is done."))
            return False
        context.step, context.fetched = steps[run.position], None
        following = step_kinds.get(context.step.kind)
        if following and following.asks_outside and not conditions.is_left_out(context.step, run.facts):
            return True


def _outcome(context: RunContext) -> Outcome:
    """What the step answers, or that its condition leaves it out. Raises StepFailed."""
    left_out = conditions.why_left_out(context.step, context.run.facts)
    if left_out:
        context.record("workflows.run.left_out", subject=context.run, after={"step": context.step.key}, reason=left_out)
        return LeftOut(left_out)
    if isinstance(context.fetched, StepFailed):
        raise context.fetched
    return step_kinds[context.step.kind].perform(context)


def _note(context: RunContext, outcome: Outcome) -> None:
    match outcome:
        case LeftOut(note=text):
            kind = StepRun.Outcome.SKIPPED
        case Done(note=text):
            kind = StepRun.Outcome.DONE
        case Wait(reason=text):
            kind = StepRun.Outcome.WAITING
        case Finish(reason=text):
            kind = StepRun.Outcome.FINISHED
    _step_run(context, kind, text)


def _step_run(context: RunContext, outcome: str, note: str) -> None:
    step = context.step
    context.batch.add(
        StepRun(
            run=context.run,
            position=step.position,
            key=step.key,
            kind=step.kind,
            outcome=outcome,
            note=note[:300],
        )
    )


def _release(run: Run, state: RunState, **changes: object) -> None:
    run.check_move(state)
    run.take_over(state, lease_owner="", lease_until=None, **changes)


def _put_back(context: RunContext) -> None:
    """Leave the run to a worker of newer code: during an upgrade old ones meet steps they do not know."""
    words = f"Waits for a worker that knows the step kind “{context.step.kind}”: restart those of an earlier release."
    log.warning("step_kind_unknown", kind=context.step.kind)
    _stop(context, Wait(until=context.now + _LEFT_TO_OTHERS, waits_for=WaitsFor.UPGRADE, reason=words))


def _stop(context: RunContext, outcome: Wait | Finish) -> None:
    run = context.run
    if isinstance(outcome, Wait):
        since = run.waiting_since if run.waits_for == outcome.waits_for else context.now
        _release(
            run,
            RunState.WAITING,
            wake_at=outcome.until,
            waits_for=outcome.waits_for,
            waits_on=outcome.on,
            reason=outcome.reason[:300],
            waiting_since=since or context.now,
        )
        context.set_standing(outcome.reason)
        return
    _release(
        run,
        RunState.SUCCEEDED,
        wake_at=None,
        waits_for="",
        waits_on="",
        reason="",
        waiting_since=None,
        ended_at=context.now,
    )
    turns.pass_on(run)
    context.close_case(outcome.case_state, outcome.reason)
    registry.tell_ending(context.case, outcome.case_state, outcome.reason)
    waking.parent_of(run)
    context.record(
        "workflows.case.finished",
        subject=context.case,
        after={"state": outcome.case_state},
        reason=outcome.reason,
    )


def _after_failure(context: RunContext, failed: StepFailed) -> None:
    run = context.run
    if run.waits_for != failing.waits_for(failed):
        run.attempt = 0  # tries are counted for one kind of trouble: an outage uses up none
    run.attempt = min(run.attempt + 1, failing.MOST_COUNTED)
    _step_run(context, StepRun.Outcome.FAILED, failed.message)
    if not failing.is_final(failed, run.attempt):
        pause = failing.pause_before(run.attempt, failed.retry_after)
        _release(
            run,
            RunState.WAITING,
            wake_at=context.now + pause,
            waits_for=failing.waits_for(failed),
            waits_on=failed.waits_on,
            reason=f"{failed.message} (try {run.attempt}, again in {int(pause.total_seconds()) + 1} s)"[:300],
            waiting_since=run.waiting_since or context.now,
        )
        context.set_standing(run.reason)
        return
    fail(context, failed)


def fail(context: RunContext, failed: StepFailed) -> None:
    """Stop the run for a person to look at."""
    run = context.run
    ended = {"wake_at": None, "waits_for": "", "waits_on": "", "ended_at": context.now}
    _release(run, RunState.FAILED, reason=failed.message[:300], **ended)
    turns.pass_on(run)
    context.fail_case(failed.message)
    failing.open_failure(run, workflow=context.definition.workflow, step=context.step.key, failed=failed)
    context.record(
        "workflows.run.failed",
        subject=run,
        after={"step": context.step.key, "kind": failed.kind},
        reason=failed.message or "A step failed.",
    )


def _give_up(run: Run, error: Exception) -> None:
    """A step broke in a way nobody planned for: keep the run, say so, and go on with the others."""
    failed = StepFailed(FailureKind.DEFECT, f"{type(error).__name__}: {error}"[:300])
    if is_busy(error):
        failed = StepFailed(FailureKind.TRANSIENT, "The database was too busy to do the step.")
    log.warning("step_broke", run_id=run.pk, case_id=run.case_id, kind=failed.kind, exc_info=error)
    patiently(lambda: _note_failure(run, failed))
    crashpoint("failure.after_commit")


def _note_failure(run: Run, failed: StepFailed) -> None:
    with transaction.atomic():
        case = Case.objects.select_for_update().get(pk=run.case_id)
        fresh = Run.objects.select_for_update(of=("self",)).filter(
            pk=run.pk, state=RunState.RUNNING, epoch=run.epoch
        ).first()  # fmt: skip
        if fresh is None:
            return
        fresh.case = case
        context = _context(fresh)
        _after_failure(context, failed)
        context.batch.flush()
        write_changes([fresh], _RUN_FIELDS)
        write_changes([case], _CASE_FIELDS)
        crashpoint("failure.before_commit")
