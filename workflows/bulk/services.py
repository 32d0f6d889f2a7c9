"""What a person does with a bulk: preview, start, pause, resume, cancel."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.models import Membership, User
from auditlog.services import Actor, record
from opsdesk.lib.errors import DomainError
from workflows.bulk import jobs
from workflows.bulk.registry import Kind, kinds
from workflows.models import Bulk, BulkItem
from workflows.states import BulkState

MOST_ITEMS = 10_000
# A preview that nobody started is thrown away after this long.
KEPT = timedelta(days=1)


class NothingChosen(DomainError):
    """There is nothing to do it to."""

    message = "Nothing was chosen: tick some rows, or choose all that match."


class TooMany(DomainError):
    """More than one bulk takes."""

    message = f"One bulk takes at most {MOST_ITEMS:,}: narrow the filter."


class NotAllowed(DomainError):
    """The role does not carry the right to the operation."""

    message = "Your role may not do this."


@transaction.atomic
def preview(kind: Kind, subjects: QuerySet[Any], *, selection: Mapping[str, Any], member: Membership) -> Bulk:
    """Keep what was chosen, to be looked at before anything is done. Raises NothingChosen, TooMany, NotAllowed."""
    _check_right(kind, member)
    keys = list(subjects.order_by("pk").values_list("pk", flat=True)[: MOST_ITEMS + 1])
    if not keys:
        raise NothingChosen
    if len(keys) > MOST_ITEMS:
        raise TooMany
    stamps = kind.stamps(keys)
    bulk = Bulk.objects.create(
        organization_id=member.organization_id, kind=kind.name, selection=selection, by=member.user, total=len(keys)
    )
    BulkItem.objects.bulk_create(
        (
            BulkItem(bulk=bulk, subject_id=key, label=kind.subject.label.format(pk=key), stamp=stamps.get(key, ""))
            for key in keys
        ),
        batch_size=2_000,
    )
    return bulk


@transaction.atomic
def start(bulk_id: int, *, member: Membership, reason: str, parameters: Mapping[str, Any]) -> Bulk:
    """Have the jobs begin with it. Raises IllegalMove, NotAllowed."""
    bulk = _locked(bulk_id)
    _check_right(kinds[bulk.kind], member)
    bulk.move_to(
        BulkState.RUNNING, reason=reason, parameters=dict(parameters), started_at=Now(), looked_at=Now(), by=member.user
    )
    _told("started", bulk, member.user, reason, after={"kind": bulk.kind, "total": bulk.total, **parameters})
    jobs.enqueue(bulk.pk)
    return bulk


@transaction.atomic
def pause(bulk_id: int, *, member: Membership) -> Bulk:
    """Let the jobs do nothing more of it for now; the item they are at is finished. Raises IllegalMove, NotAllowed."""
    bulk = _held(bulk_id, member)
    bulk.move_to(BulkState.PAUSED)
    _told("paused", bulk, member.user, "Paused on its page.")
    return bulk


@transaction.atomic
def resume(bulk_id: int, *, member: Membership) -> Bulk:
    """Go on with a paused bulk, from now on in the name of who resumes it. Raises IllegalMove, NotAllowed."""
    bulk = _held(bulk_id, member)
    bulk.move_to(BulkState.RUNNING, looked_at=Now(), by=member.user)
    _told("resumed", bulk, member.user, "Resumed on its page.")
    jobs.enqueue(bulk.pk)
    return bulk


@transaction.atomic
def cancel(bulk_id: int, *, member: Membership) -> Bulk:
    """Do nothing more of it; what is done stays done. Raises IllegalMove, NotAllowed."""
    bulk = _held(bulk_id, member)
    begun = bulk.started_at is not None
    bulk.move_to(BulkState.CANCELED, ended_at=Now(), note=f"Canceled by {member.user}.")
    if begun:
        _told("canceled", bulk, member.user, "Canceled on its page.")
    return bulk


def discard_old_previews() -> int:
    """Throw away previews that nobody started."""
    old = Bulk.objects.filter(started_at=None, created_at__lt=Now() - KEPT)
    return old.delete()[0]


def _locked(bulk_id: int) -> Bulk:
    return Bulk.objects.select_for_update(of=("self",)).get(pk=bulk_id)


def _held(bulk_id: int, member: Membership) -> Bulk:
    bulk = _locked(bulk_id)
    _check_right(kinds[bulk.kind], member)
    return bulk


def _check_right(kind: Kind, member: Membership) -> None:
    if not member.may(kind.permission):
        raise NotAllowed


def _told(verb: str, bulk: Bulk, by: User, reason: str, **states: Any) -> None:
    record(
        f"workflows.bulk.{verb}",
        actor=Actor.person(by),
        organization_id=bulk.organization_id,
        subject=("bulk", bulk.pk),
        reason=reason,
        **states,
    )
