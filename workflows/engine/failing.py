"""What follows when a step could not do its work."""

import hashlib
import random
import re
from datetime import timedelta

from django.db.models.functions import Now

from auditlog.services import Actor, record
from workflows.errors import StepFailed
from workflows.models import Failure, FailureItem, Run
from workflows.states import FailureKind, FailureState, WaitsFor

# Tries of a step before a transient trouble becomes a failure that a person looks at.
MOST_ATTEMPTS = 3
# The column holds no more; an outage of weeks gets there.
MOST_COUNTED = 32_000
_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(seconds=60)


def pause_before(attempt: int, told: timedelta | None = None) -> timedelta:
    """How long to wait before try number `attempt` + 1: exponential with full jitter, never earlier than told.

    The jitter comes on top of what was told: all who were told the same moment would otherwise come back at once.
    """
    ceiling: timedelta = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempt, 10))
    jittered = ceiling * random.random()  # noqa: S311 - spreading load, not guarding anything
    return (told or timedelta(0)) + jittered


def is_final(failed: StepFailed, attempt: int) -> bool:
    """Whether a person has to look: bad data and defects at once, transient trouble after some tries, outages never."""
    if failed.kind == FailureKind.INFRASTRUCTURE:
        return False
    return failed.kind != FailureKind.TRANSIENT or attempt >= MOST_ATTEMPTS


def waits_for(failed: StepFailed) -> WaitsFor:
    """What a run waits for that is going to be tried again."""
    return WaitsFor.CONNECTION if failed.kind == FailureKind.INFRASTRUCTURE else WaitsFor.RETRY


def fingerprint(workflow: str, step: str, connection: str, kind: str, message: str) -> str:
    """What makes two troubles the same: numbers and quoted values in the message do not count."""
    normalized = re.sub(r"“[^”]*”|\d+", "#", message)
    return hashlib.sha256("|".join([workflow, step, connection, kind, normalized]).encode()).hexdigest()


def open_failure(run: Run, *, workflow: str, step: str, failed: StepFailed) -> Failure:
    """Put a stopped run under the failure of its cause, opening or reopening that one."""
    print_ = fingerprint(workflow, step, failed.connection, failed.kind, failed.message)
    failure, new = Failure.objects.get_or_create(
        organization_id=run.organization_id,
        fingerprint=print_,
        defaults={
            "workflow": workflow,
            "step": step,
            "connection": failed.connection,
            "kind": failed.kind,
            "message": failed.message[:300],
        },
    )
    if not new:
        # The update takes the row's lock: somebody may have resolved it since it was read.
        Failure.objects.filter(pk=failure.pk).update(last_at=Now())
        failure.refresh_from_db(fields=["state"])
    verb = "workflows.failure.opened" if new else ""
    if not new and failure.state == FailureState.RESOLVED:
        failure.move_to(FailureState.OPEN, owner=None)
        verb = "workflows.failure.reopened"
    FailureItem.objects.get_or_create(
        run=run, repaired_at=None, defaults={"failure": failure, "detail": failed.message}
    )
    if verb:
        record(
            verb,
            actor=Actor.desk("engine"),
            organization_id=run.organization_id,
            subject=("failure", failure.pk),
            case_id=run.case_id,
            after={"step": step, "kind": failed.kind},
            reason=failed.message,
        )
    return failure


def take_off(run: Run, *, actor: Actor, reason: str) -> None:
    """Have a run no longer stand under its failure; a failure under which no run is left is resolved."""
    # Under the failure's lock, which `open_failure` takes too: another run may stop for it at this moment.
    stopped_for = FailureItem.objects.filter(run=run, repaired_at=None).values("failure")
    failures = list(Failure.objects.filter(pk__in=stopped_for).order_by("pk").select_for_update(of=("self",)))
    FailureItem.objects.filter(run=run, repaired_at=None).update(repaired_at=Now())
    for failure in failures:
        if failure.state == FailureState.RESOLVED or failure.items.filter(repaired_at=None).exists():
            continue
        failure.move_to(FailureState.RESOLVED, ignored_until=None)
        record(
            "workflows.failure.resolved",
            actor=actor,
            organization_id=failure.organization_id,
            subject=("failure", failure.pk),
            case_id=run.case_id,
            reason=reason,
        )
