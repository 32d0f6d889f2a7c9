"""Trying the runs of a failure again: one, then five, then all; each after the one before it, until one fails again.

A replay is a row. Whoever looks for due runs carries it on by one run at a time, so it survives every process.
"""

from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Membership, User
from accounts.roles import Permission
from auditlog.services import Actor, record
from opsdesk.lib import queue
from opsdesk.lib.errors import DomainError
from workflows import cases
from workflows.engine import repairing
from workflows.failures import AlreadyResolved, ReasonMissing, standing
from workflows.models import Failure, FailureItem, Replay, Run
from workflows.states import FailureState, ReplayState, RunState, WaitsFor

# After so many went well, the next rung is offered.
RUNGS = (1, 5)
# What may be wrong in the same way in many requests; what a request says about itself alone is corrected in its case.
CORRECTED = ("currency", "customer", "requested_at")
_PASSED = frozenset({RunState.SUCCEEDED, RunState.CANCELED})


class UnderWay(DomainError):
    """One replay of a failure at a time."""

    message = "Runs of this failure are being tried again already."


class TooMany(DomainError):
    """The ladder is climbed rung by rung."""

    message = "So many are tried only after fewer went well."


class NotCorrected(DomainError):
    """The correction says no field, or no value."""

    message = "Say what is corrected, and to which value."


def rungs(failure: Failure) -> Sequence[int]:
    """How many runs may be tried now: one; five after one went well; all after five did.

    When a run stopped for the failure since, it begins with one again.
    """
    left = standing(failure.pk).count()
    last = Replay.objects.filter(failure=failure).order_by("-pk").first()
    well = 0
    if last is not None and last.state == ReplayState.DONE and last.ended_at and last.ended_at >= failure.last_at:
        well = last.passed
    most = left if well >= RUNGS[-1] else RUNGS[-1] if well else RUNGS[0]
    return sorted({min(rung, left) for rung in (*RUNGS, left) if left and min(rung, left) <= most})


@transaction.atomic
def begin(failure_id: int, count: int, *, by: User, reason: str, corrected: str = "", value: str = "") -> Replay:
    """Have so many runs tried again, the longest waiting first, each corrected before if a field is named.

    Raises AlreadyResolved, UnderWay, TooMany, NotCorrected, ReasonMissing.
    """
    if not reason.strip():
        raise ReasonMissing
    if bool(corrected) != bool(value.strip()) or (corrected and corrected not in CORRECTED):
        raise NotCorrected
    failure = Failure.objects.select_for_update(of=("self",)).get(pk=failure_id)
    if failure.state == FailureState.RESOLVED:
        raise AlreadyResolved
    if Replay.objects.running().filter(failure=failure).exists():
        raise UnderWay
    if count not in rungs(failure):
        raise TooMany
    items = list(standing(failure.pk).values_list("pk", flat=True)[:count])
    replay = Replay.objects.create(
        failure=failure,
        by=by,
        reason=reason.strip()[:300],
        wanted=count,
        corrected=corrected,
        value=value.strip()[:200],
        last_item=items[-1],
    )
    after = {"runs": count} | ({corrected: replay.value} if corrected else {})
    _tell("started", replay, Actor.person(by), replay.reason, **after)
    queue.ring("workflows.tick")
    return replay


@transaction.atomic
def stop(failure_id: int, *, by: User) -> bool:
    """Try no further run; the one under way goes on. False when none is being tried."""
    mine = Replay.objects.running().filter(failure_id=failure_id)
    replay = mine.select_related("failure").select_for_update(of=("self",)).first()
    if replay is None:
        return False
    _end(replay, ReplayState.STOPPED, f"{by} stopped it.", Actor.person(by))
    return True


def go_on() -> int:
    """Carry every replay on that can go on; returns how many runs were tried."""
    return sum(_go_on(pk) for pk in Replay.objects.running().values_list("pk", flat=True))


@transaction.atomic
def _go_on(replay_id: int) -> bool:
    running = Replay.objects.running().select_related("failure", "by")
    replay = running.select_for_update(skip_locked=True, of=("self",)).filter(pk=replay_id).first()
    if replay is None:
        return False
    if replay.run_id is not None:
        run = Run.objects.get(pk=replay.run_id)
        if run.state == RunState.FAILED:
            _end(replay, ReplayState.STOPPED, f"RUN-{run.pk} failed again: {run.reason}")
            return False
        if not _is_past(run, replay.position):
            return False
        _note(replay, passed=replay.passed + 1, run=None)
    item = _next(replay)
    if item is None:
        _end(replay, ReplayState.DONE, replay.note)
        return False
    if not _may(replay):
        _end(replay, ReplayState.STOPPED, f"{replay.by} may no longer do this: the rest was left as it is.")
        return False
    _try(replay, item)
    return True


def _is_past(run: Run, position: int) -> bool:
    """Whether a run went on beyond where it had failed, as far as it goes without people."""
    return run.state in _PASSED or run.position > position or run.waits_for == WaitsFor.REVIEW


def _next(replay: Replay) -> FailureItem | None:
    mine = standing(replay.failure_id).filter(pk__gt=replay.after_item, pk__lte=replay.last_item)
    return mine.select_related("run").first()


def _try(replay: Replay, item: FailureItem) -> None:
    """Have one run go on; one that cannot is counted, and holds up no other."""
    run = item.run
    try:
        with transaction.atomic():
            if replay.corrected:
                changes = {replay.corrected: replay.value}
                cases.correct(run.case_id, by=replay.by, changes=changes, reason=replay.reason)
            else:
                repairing.retry(run.pk, by=replay.by, reason=replay.reason)
    except DomainError as refusal:
        words = f"RUN-{run.pk} was not tried: {refusal}"[:300]
        _note(replay, refused=replay.refused + 1, after_item=item.pk, note=words)
    else:
        _note(replay, run=run, position=run.position, after_item=item.pk)


def _may(replay: Replay) -> bool:
    """Whether the person in whose name it goes on still has the right."""
    mine = Membership.objects.active().filter(user=replay.by_id, organization_id=replay.failure.organization_id)
    wanted = [Permission.REPAIR, *([Permission.CORRECT] if replay.corrected else [])]
    return any(all(member.may(each) for each in wanted) for member in mine)


def _note(replay: Replay, **changes: object) -> None:
    for name, value in changes.items():
        setattr(replay, name, value)
    replay.save(update_fields=list(changes))


def _end(replay: Replay, state: ReplayState, words: str, actor: Actor | None = None) -> None:
    replay.move_to(state, ended_at=Now(), note=words[:300])
    verb = "finished" if state == ReplayState.DONE else "stopped"
    passed = {"went on": replay.passed, "refused": replay.refused}
    _tell(verb, replay, actor or Actor.desk("engine"), words or f"{replay.passed} went on.", **passed)


def _tell(verb: str, replay: Replay, actor: Actor, reason: str, **after: object) -> None:
    record(
        f"workflows.replay.{verb}",
        actor=actor,
        organization_id=replay.failure.organization_id,
        subject=("failure", replay.failure_id),
        after=after,
        reason=reason,
    )
