"""Exports: a list with its filters becomes a file, part by part, in short transactions.

Each part begins after the last key of the one before it, so memory does not grow with the list, and a job that was
killed loses nothing. Before each part the rights of the person are read again. What changes while it is written stands
in the file as it is when its part is written.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Membership
from accounts.roles import Permission
from auditlog.services import Actor, record
from opsdesk.lib import clock
from opsdesk.lib.errands import TURN_SECONDS, Errand, take_lost, work
from opsdesk.lib.errors import DomainError
from opsdesk.lists import sheets
from opsdesk.lists.registry import LISTS, ListPage
from opsdesk.models import Export, ExportPart
from opsdesk.states import ExportState

CHUNK = 2_000
MOST_AT_ONCE = 3  # of one person
KEPT = timedelta(hours=24)

_ERRAND = Errand("export", "opsdesk.lists.exporting.carry")


class NotExported(DomainError):
    """The list cannot be taken away now."""


@transaction.atomic
def ask(page: str, *, query: str, columns: Sequence[str], with_mark: bool, member: Membership) -> Export:
    """Have a list written into a file. Raises NotExported."""
    listed = LISTS.get(page)
    if listed is None or not _may(member, listed):
        raise NotExported("You may not take this list away.")
    chosen = listed.columns_of(columns)
    if not chosen:
        raise NotExported("Choose at least one column.")
    # One at a time for each person, so that two at once are not both the last that fits.
    Membership.objects.select_for_update(of=("self",)).get(pk=member.pk)
    if Export.objects.visible_to(member).filter(state=ExportState.RUNNING).count() >= MOST_AT_ONCE:
        raise NotExported(f"{MOST_AT_ONCE} of your exports are being written: wait for one of them.")
    export = Export.objects.create(
        organization_id=member.organization_id,
        by_id=member.user_id,
        page=page,
        query=listed.kept(query),
        columns=[column.key for column in chosen],
        with_mark=with_mark,
        expires_at=clock.now() + KEPT,
    )
    told = {"list": listed.label, "filters": listed.in_words(export.query), "columns": [each.label for each in chosen]}
    _tell("asked", export, Actor.person(member.user), f"{listed.label}: {told['filters']}.", after=told)
    _ERRAND.enqueue(export.pk)
    return export


def carry(export_id: int) -> str:
    """The job: write for a while, and queue up again behind others when something is left."""
    return _ERRAND.carry(export_id, carry_on)


def carry_on(export_id: int, *, seconds: float = TURN_SECONDS) -> bool:
    """Write parts of an export; True when time ran out before it was finished."""
    return work(_next_part, export_id, seconds=seconds)


def wake_stale() -> int:
    """Ask again for exports on which no job has worked for a while; one that gets nowhere is given up."""
    return _ERRAND.wake(take_lost(Export.objects.filter(state=ExportState.RUNNING), _give_up))


def remove_expired() -> int:
    """Remove the files whose time is over; says how many."""
    over = Export.objects.filter(expires_at__lt=Now()).exclude(state=ExportState.EXPIRED)
    keys = list(over.order_by("pk").values_list("pk", flat=True)[:100])
    for key in keys:
        with transaction.atomic():
            export = over.select_for_update(skip_locked=True).filter(pk=key).first()
            if export is not None:
                _remove(export, Actor.timer("exports"), "Its time is over.")
    return len(keys)


@transaction.atomic
def remove(export_id: int, *, member: Membership) -> Export:
    """Remove one's own file before its time, or stop writing it."""
    export = Export.objects.visible_to(member).select_for_update(of=("self",)).get(pk=export_id)
    if export.state != ExportState.EXPIRED:
        _remove(export, Actor.person(member.user), "Removed by its owner.")
    return export


@transaction.atomic
def remove_all(organization_id: int, *, actor: Actor, reason: str) -> None:
    """Remove every file of an organization, also those that are being written."""
    theirs = Export.objects.filter(organization_id=organization_id).exclude(state=ExportState.EXPIRED)
    for export in theirs.order_by("pk").select_for_update(of=("self",)):
        _remove(export, actor, reason)


@transaction.atomic
def take(export_id: int, *, member: Membership) -> tuple[Export, Iterator[bytes]]:
    """The file in pieces, for its owner alone, and its entry in the audit log. Raises NotExported."""
    export = Export.objects.visible_to(member).select_for_update(of=("self",)).get(pk=export_id)
    if export.state != ExportState.DONE:
        raise NotExported("There is no file: it is being written, was given up, or was removed.")
    if not _may(member, LISTS[export.page]):
        raise NotExported("You may not take this list away any more.")
    _tell("taken", export, Actor.person(member.user), f"{export.rows} rows of {LISTS[export.page].label}.")
    return export, _pieces(export.pk)


def _pieces(export_id: int) -> Iterator[bytes]:
    """The parts one after the other, each read when its turn comes."""
    number = -1
    while True:
        part = ExportPart.objects.filter(export_id=export_id, number__gt=number).order_by("number").first()
        if part is None:
            return
        number = part.number
        yield zlib.decompress(part.content)


@transaction.atomic
def _next_part(export_id: int) -> bool:
    """Write the next rows; False when there is nothing left, or another job is at it."""
    held = Export.objects.select_for_update(of=("self",), skip_locked=True)
    export = held.filter(pk=export_id, state=ExportState.RUNNING).select_related("organization").first()
    if export is None:
        return False
    member = _member_of(export)
    listed = LISTS.get(export.page)
    if member is None or listed is None or not _may(member, listed):
        _give_up(export, "Whoever asked for it may not take this list away any more.")
        return False
    zone = ZoneInfo(export.organization.time_zone)
    with timezone.override(zone):  # “today” is the organization's
        rows = listed.found(member, export.query)
    if export.total is None:
        export.total = rows.order_by().count()
    if export.next_before is not None:
        rows = rows.filter(pk__lt=export.next_before)
    found = list(rows.order_by("-pk")[:CHUNK])
    _write(export, listed, found, zone)
    if len(found) < CHUNK:
        export.move_to(ExportState.DONE, ended_at=Now())
        _tell("finished", export, Actor.desk("exports"), f"{export.rows} rows, {export.size} bytes.")
    return len(found) == CHUNK


def _write(export: Export, listed: ListPage, found: Sequence[Any], zone: tzinfo) -> None:
    """Keep these rows as the next part, and say how far it is."""
    columns = listed.columns_of(export.columns)
    head = sheets.header(columns, with_mark=export.with_mark) if export.next_before is None else b""
    content = head + sheets.lines(found, columns, zone)
    if content:
        ExportPart.objects.create(export=export, number=export.rows, content=zlib.compress(content, 3))
    export.rows += len(found)
    export.size += len(content)
    export.next_before = found[-1].pk if found else 0
    export.save(update_fields=["total", "rows", "size", "next_before"])
    Export.objects.filter(pk=export.pk).update(touched_at=Now(), tries=0)


def _member_of(export: Export) -> Membership | None:
    """Who asked, with the rights of this moment."""
    found = Membership.objects.active().filter(organization_id=export.organization_id, user_id=export.by_id)
    return found.select_related("user", "organization").first()


def _may(member: Membership, listed: ListPage) -> bool:
    return member.may(Permission.EXPORT) and member.may(listed.permission)


def _give_up(export: Export, note: str) -> None:
    export.parts.all().delete()
    export.move_to(ExportState.FAILED, ended_at=Now(), note=note, size=0)
    _tell("given_up", export, Actor.desk("exports"), note)


def _remove(export: Export, actor: Actor, reason: str) -> None:
    export.parts.all().delete()
    ended = {} if export.ended_at else {"ended_at": Now()}
    export.move_to(ExportState.EXPIRED, size=0, **ended)
    _tell("removed", export, actor, reason)


def _tell(what: str, export: Export, actor: Actor, reason: str, **sides: Mapping[str, object]) -> None:
    record(
        f"opsdesk.export.{what}",
        actor=actor,
        organization_id=export.organization_id,
        subject=("export", export.pk),
        reason=reason,
        **sides,
    )
