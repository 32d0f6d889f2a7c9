"""Beginning and ending a recovery. Everything that acts asks `held` in the transaction in which it takes its work."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Organization, User
from auditlog.services import Actor, record
from opsdesk.lib import clock, queue
from opsdesk.lib.errors import DomainError
from workflows import registry
from workflows.models import Recovery, RecoverySignature
from workflows.states import RecoveryCause, RecoveryState

log = structlog.get_logger(__name__)
LONGEST_REASON = 300
# How far back it is looked where nobody says from when the restored state is.
FAR_BACK = timedelta(days=7)


class AlreadyRecovering(DomainError):
    """Somebody else was first, or the desk noticed by itself."""

    message = "A recovery is under way already."


class NotRecovering(DomainError):
    """It was ended meanwhile."""

    message = "This recovery has ended."


class SignedBefore(DomainError):
    """Signatures are counted in people."""

    message = "You have signed it already: a second person has to read it too."


class ReasonMissing(DomainError):
    """The audit log keeps why."""

    message = "Say why in a few words."


def held() -> Sequence[int]:
    """Organizations in which nothing acts now. Read inside the transaction that takes the work."""
    return list(Recovery.objects.open().values_list("organization_id", flat=True))


def current(organization_id: int) -> Recovery | None:
    """The recovery under way in an organization."""
    return Recovery.objects.open().filter(organization_id=organization_id).first()


@transaction.atomic
def declare(organization_id: int, *, by: User | None, reason: str, since: datetime | None = None) -> Recovery:
    """Stop acting because a person says that the database was put back. Raises AlreadyRecovering, ReasonMissing.

    `since`: the moment the restored state is from, where it is known. `by` is None for whoever sits at the server.
    """
    if not reason.strip():
        raise ReasonMissing
    organization = Organization.objects.select_for_update().get(pk=organization_id)
    if current(organization_id) is not None:
        raise AlreadyRecovering
    actor = Actor.person(by) if by is not None else Actor.desk("manage.py")
    return _begin(
        organization, RecoveryCause.DECLARED, reason.strip(), since or clock.now() - FAR_BACK, actor=actor, by=by
    )


@transaction.atomic
def begin_everywhere(cause: RecoveryCause, words: str, *, since: datetime, signatures: int | None = None) -> int:
    """Stop every organization because the desk noticed by itself; returns how many were not stopped before.

    `signatures` overrides how many an organization asks for. One that recovers already looks back at least as far.
    """
    begun = 0
    for organization in Organization.objects.order_by("pk").select_for_update():
        recovery = current(organization.pk)
        if recovery is None:
            _begin(organization, cause, words, since, actor=Actor.desk("watch"), signatures=signatures)
            begun += 1
        elif recovery.since > since:
            Recovery.objects.filter(pk=recovery.pk).update(since=since)
    log.warning("recovery_begun", cause=cause, organizations=begun, words=words)
    return begun


def _begin(
    organization: Organization,
    cause: RecoveryCause,
    words: str,
    since: datetime,
    *,
    actor: Actor,
    by: User | None = None,
    signatures: int | None = None,
) -> Recovery:
    recovery = Recovery.objects.create(
        organization=organization,
        cause=cause,
        reason=words[:500],
        since=min(since, clock.now()),
        signatures_needed=signatures or organization.recovery_signatures,
        begun_by=by,
    )
    record(
        "workflows.recovery.begun",
        actor=actor,
        organization_id=organization.pk,
        subject=("recovery", recovery.pk),
        after={"cause": cause, "since": recovery.since.isoformat()},
        reason=words,
    )
    return recovery


@transaction.atomic
def sign(recovery_id: int, *, by: User, reason: str) -> Recovery:
    """Sign that what the outside knows has been read; the last signature needed ends the recovery.

    The caller has made sure that there is something to read. Raises NotRecovering, SignedBefore, ReasonMissing.
    """
    reason = reason.strip()[:LONGEST_REASON]
    if not reason:
        raise ReasonMissing
    recovery = Recovery.objects.select_for_update(of=("self",)).get(pk=recovery_id)
    if recovery.state != RecoveryState.RECOVERING:
        raise NotRecovering
    before = list(recovery.signatures.select_related("user"))
    if any(signature.user.same_person_as(by) for signature in before):
        raise SignedBefore
    RecoverySignature.objects.create(recovery=recovery, user=by, reason=reason)
    _tell(recovery, "signed", by, reason, signatures=len(before) + 1)
    if len(before) + 1 >= recovery.signatures_needed:
        for listener in registry.recovery_endings:
            listener(recovery)
        recovery.move_to(RecoveryState.ENDED, ended_at=Now())
        _tell(recovery, "ended", by, reason, state=recovery.state)
        queue.ring("workflows.tick")
        queue.ring("integrations.send_due")
    return recovery


def _tell(recovery: Recovery, verb: str, by: User, reason: str, **after: object) -> None:
    record(
        f"workflows.recovery.{verb}",
        actor=Actor.person(by),
        organization_id=recovery.organization_id,
        subject=("recovery", recovery.pk),
        after=after,
        reason=reason,
    )
