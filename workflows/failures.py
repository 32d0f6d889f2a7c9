"""What people do about failures: take them on, hear nothing of them for a while, and close them."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from workflows.models import Failure, FailureItem
from workflows.states import FailureState, RunState

# How long a failure may be ignored: nobody decides about a quarter of a year.
LONGEST_IGNORED = timedelta(days=30)


class AlreadyResolved(DomainError):
    """Somebody else closed it first, or its last run was repaired."""

    message = "This failure is already resolved."


class StillOpen(DomainError):
    """Runs still stand under the failure."""

    message = "Runs are still stopped by this: retry them or withdraw their cases, then resolve it."


class ReasonMissing(DomainError):
    """The audit log keeps why."""

    message = "Say why in a few words."


class NotIgnorable(DomainError):
    """Nobody can be asked to wait for yesterday, or for ever."""

    message = f"A failure is ignored until some moment within the next {LONGEST_IGNORED.days} days."


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
    failure.move_to(FailureState.RESOLVED, ignored_until=None)
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


@transaction.atomic
def ignore(failure_id: int, *, by: User, until: datetime, reason: str) -> Failure:
    """Hear nothing of a failure until a moment; what falls under it meanwhile is collected all the same.

    Raises AlreadyResolved, NotIgnorable, ReasonMissing.
    """
    if not reason.strip():
        raise ReasonMissing
    if not clock.now() < until <= clock.now() + LONGEST_IGNORED:
        raise NotIgnorable
    return _ignored(failure_id, until, "ignored", by=by, reason=reason.strip())


@transaction.atomic
def heed(failure_id: int, *, by: User) -> Failure:
    """Ignore a failure no longer. Raises AlreadyResolved."""
    return _ignored(failure_id, None, "heeded", by=by, reason=f"{by} wants to hear of it again.")


def _ignored(failure_id: int, until: datetime | None, verb: str, *, by: User, reason: str) -> Failure:
    failure = _locked(failure_id)
    before, failure.ignored_until = failure.ignored_until, until
    failure.save(update_fields=["ignored_until"])
    record(
        f"workflows.failure.{verb}",
        actor=Actor.person(by),
        organization_id=failure.organization_id,
        subject=("failure", failure.pk),
        before={"until": before.isoformat() if before else None},
        after={"until": until.isoformat() if until else None},
        reason=reason,
    )
    return failure
