"""What people do about failures: take them on, try their runs again one after the other, and close them."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from opsdesk.lib.errors import DomainError
from opsdesk.lib.states import Overtaken
from workflows.engine import repairing
from workflows.models import Failure, FailureItem
from workflows.states import FailureState, RunState

# One click tries at most so many runs again; each is a transaction of its own.
MOST_AT_ONCE = 200


class AlreadyResolved(DomainError):
    """Somebody else closed it first, or its last run was repaired."""

    message = "This failure is already resolved."


class StillOpen(DomainError):
    """Runs still stand under the failure."""

    message = "Runs are still stopped by this: retry them or withdraw their cases, then resolve it."


class ReasonMissing(DomainError):
    """The audit log keeps why."""

    message = "Say why in a few words."


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of one click: how many runs go on, and why others do not."""

    done: int
    refused: tuple[str, ...] = ()


def standing(failure_id: int) -> QuerySet[FailureItem]:
    """The runs that are still stopped by a failure, the longest waiting first."""
    return FailureItem.objects.filter(failure_id=failure_id, repaired_at=None, run__state=RunState.FAILED).order_by(
        "pk"
    )


def _locked(failure_id: int) -> Failure:
    failure = Failure.objects.select_for_update(of=("self",)).select_related("owner").get(pk=failure_id)
    if failure.state == FailureState.RESOLVED:
        raise AlreadyResolved
    return failure


@transaction.atomic
def acknowledge(failure_id: int, *, by: User) -> Failure:
    """Take a failure on; whoever had it before has it no more. Raises AlreadyResolved."""
    failure = _locked(failure_id)
    if failure.owner_id == by.pk and failure.state == FailureState.ACKNOWLEDGED:
        return failure
    before = str(failure.owner or "nobody")
    if failure.state == FailureState.OPEN:
        failure.move_to(FailureState.ACKNOWLEDGED, owner=by)
    else:
        failure.owner = by
        failure.save(update_fields=["owner"])
    record(
        "workflows.failure.acknowledged",
        actor=Actor.person(by),
        organization_id=failure.organization_id,
        subject=("failure", failure.pk),
        before={"owner": before},
        after={"owner": str(by)},
        reason=f"{by} took it on.",
    )
    return failure


@transaction.atomic
def resolve(failure_id: int, *, by: User, reason: str) -> Failure:
    """Close a failure that stops nothing any more. Raises AlreadyResolved, StillOpen, ReasonMissing."""
    if not reason.strip():
        raise ReasonMissing
    failure = _locked(failure_id)
    if standing(failure.pk).exists():
        raise StillOpen
    # What is left belongs to runs that were withdrawn: nobody will repair them.
    FailureItem.objects.filter(failure=failure, repaired_at=None).update(repaired_at=Now())
    before = failure.state
    failure.move_to(FailureState.RESOLVED)
    record(
        "workflows.failure.resolved",
        actor=Actor.person(by),
        organization_id=failure.organization_id,
        subject=("failure", failure.pk),
        before={"state": before},
        after={"state": failure.state},
        reason=reason.strip(),
    )
    return failure


def retry_some(failure_id: int, count: int, *, by: User, reason: str) -> Retried:
    """Try so many of a failure's stopped runs again, the longest waiting first. Raises ReasonMissing.

    Each run is a transaction of its own, locked in the engine's order, so one that cannot go on holds up no other.
    """
    if not reason.strip():
        raise ReasonMissing
    run_ids = list(standing(failure_id).values_list("run_id", flat=True)[: min(count, MOST_AT_ONCE)])
    done, refused = 0, []
    for run_id in run_ids:
        try:
            _retry(run_id, by=by, reason=reason.strip())
        except DomainError as refusal:
            refused.append(f"Run {run_id}: {refusal}")
        else:
            done += 1
    return Retried(done, tuple(refused))


def _retry(run_id: int, *, by: User, reason: str) -> None:
    try:
        repairing.retry(run_id, by=by, reason=reason)
    except Overtaken:
        # Two last runs repaired at once both close their failure; the second finds it closed.
        repairing.retry(run_id, by=by, reason=reason)
