"""What people do about failures: take them on, hear nothing of them for a while, and close them."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import Membership, User
from accounts.roles import Permission, roles_with
from auditlog.services import Actor, record
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from workflows.models import Failure, FailureItem
from workflows.states import FailureState, RunState

# How long a failure may be ignored: nobody decides about a quarter of a year.
LONGEST_IGNORED = timedelta(days=30)
_REPAIRING = roles_with(Permission.REPAIR)


class AlreadyResolved(DomainError):
    """Somebody else closed it first, or its last run was repaired."""

    message = "This failure is already resolved."


class StillOpen(DomainError):
    """Runs still stand under the failure."""

    message = "Runs are still stopped by this: retry them or withdraw their cases, then resolve it."


class ReasonMissing(DomainError):
    """The audit log keeps why."""

    message = "Say why in a few words."


class NoRepairer(DomainError):
    """Whoever gets a failure must be able to do something about it."""


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
    return _given(failure_id, by, "acknowledged", by=by, reason=f"{by} took it on.")


@transaction.atomic
def hand_over(failure_id: int, *, to: User, by: User, reason: str) -> Failure:
    """Give a failure to a colleague who may repair it. Raises AlreadyResolved, NoRepairer, ReasonMissing."""
    if not reason.strip():
        raise ReasonMissing
    organization_id = Failure.objects.values_list("organization_id", flat=True).get(pk=failure_id)
    if not repairers(organization_id).filter(user=to).exists():
        raise NoRepairer(f"{to} may not repair here: choose a colleague who is a manager or an admin.")
    return _given(failure_id, to, "handed_over", by=by, reason=reason.strip())


def repairers(organization_id: int) -> QuerySet[Membership]:
    """Those who may repair in an organization now, by name."""
    active = Membership.objects.active().filter(organization_id=organization_id, role__in=_REPAIRING)
    return active.select_related("user").order_by("user__first_name", "user__last_name", "user__username")


def _given(failure_id: int, owner: User, verb: str, *, by: User, reason: str) -> Failure:
    """Whose it is from now on; nothing is told where it is theirs already."""
    failure = _locked(failure_id)
    if failure.owner_id == owner.pk and failure.state == FailureState.ACKNOWLEDGED:
        return failure
    before = str(failure.owner or "nobody")
    if failure.state == FailureState.OPEN:
        failure.move_to(FailureState.ACKNOWLEDGED, owner=owner)
    else:
        failure.owner = owner
        failure.save(update_fields=["owner"])
    record(
        f"workflows.failure.{verb}",
        actor=Actor.person(by),
        organization_id=failure.organization_id,
        subject=("failure", failure.pk),
        before={"owner": before},
        after={"owner": str(owner)},
        reason=reason,
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
