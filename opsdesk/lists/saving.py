"""Saved views: filters under a name, kept by one person, shared by those who may, counted for the rail."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Max, QuerySet

from accounts.models import Membership
from accounts.roles import Permission
from auditlog.services import Actor, record
from opsdesk.lib.counting import counts_of
from opsdesk.lib.database import is_busy
from opsdesk.lib.errors import DomainError
from opsdesk.lists.registry import LISTS
from opsdesk.models import SavedView

MOST = 30  # views one person keeps
CAP = 99  # as beside the other entries of the rail
# A view whose number takes longer shows none: no page waits for it.
MILLISECONDS = 150


class NotSaved(DomainError):
    """The view cannot be kept so."""


class NotYours(DomainError):
    """Its owner changes a view; a shared one is in the hands of those who may share."""


@transaction.atomic
def save(page: str, *, name: str, query: str, shared: bool, member: Membership) -> SavedView:
    """Keep the filters of a list under a name, last in the rail. Raises NotSaved and NotYours."""
    listed = LISTS.get(page)
    if listed is None or not member.may(listed.permission):
        raise NotSaved("There is no such list.")
    if shared:
        _refuse_unless_may_share(member)
    # One at a time for each person, so that two at once are not both the last that fits.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('opsdesk_savedview'), %s)", [member.user_id])
    mine = SavedView.objects.filter(organization_id=member.organization_id, owner_id=member.user_id)
    if mine.count() >= MOST:
        raise NotSaved(f"You keep {MOST} views already: delete one first.")
    last = SavedView.objects.visible_to(member).filter(shared=shared).aggregate(last=Max("position"))["last"] or 0
    view = SavedView(
        organization_id=member.organization_id,
        owner_id=member.user_id,
        page=page,
        name=_name(name),
        query=listed.kept(query),
        shared=shared,
        position=last + 1,
    )
    _write(view)
    _tell("saved", view, member, f"{listed.label}: {listed.in_words(view.query)}.")
    return view


@transaction.atomic
def change(view: SavedView, *, name: str, shared: bool, member: Membership) -> SavedView:
    """Give a view another name, or share it, or keep it to its owner. Raises NotSaved and NotYours."""
    held = _locked(view, member)
    if shared != held.shared:
        _refuse_unless_may_share(member)
    before = {"name": held.name, "shared": held.shared}
    held.name, held.shared = _name(name), shared
    after = {"name": held.name, "shared": held.shared}
    if before != after:
        _write(held)
        _tell("changed", held, member, "Changed on the page of views.", before=before, after=after)
    return held


@transaction.atomic
def delete(view: SavedView, *, member: Membership) -> None:
    """Throw a view away. Raises NotYours."""
    held = _locked(view, member)
    _tell("deleted", held, member, "Deleted on the page of views.", before={"name": held.name, "query": held.query})
    held.delete()


@transaction.atomic
def clear_away(view: SavedView, *, member: Membership) -> None:
    """Throw anybody's view of the organization away; for those who configure it. Raises NotYours."""
    ours = SavedView.objects.filter(organization_id=member.organization_id)
    held = ours.select_for_update(of=("self",)).filter(pk=view.pk).first()
    if held is None or not member.may(Permission.CONFIGURE):
        raise NotYours("It is not there any more.")
    before = {"name": held.name, "query": held.query, "owner": str(held.owner), "shared": held.shared}
    _tell("deleted", held, member, f"Cleared away in the admin; it was kept by {held.owner}.", before=before)
    held.delete()


@transaction.atomic
def move(view: SavedView, *, up: bool, member: Membership) -> None:
    """Change places with the next one of the same part of the rail: the shared ones, or one's own. Raises NotYours."""
    held = _locked(view, member)
    if held.shared:
        _refuse_unless_may_share(member)
    same = SavedView.objects.visible_to(member).filter(shared=held.shared)
    listed = list(same.order_by("position", "pk").select_for_update(of=("self",)))
    place = next(place for place, each in enumerate(listed) if each.pk == held.pk)
    other = place - 1 if up else place + 1
    if not 0 <= other < len(listed):
        return
    listed[place], listed[other] = listed[other], listed[place]
    for position, each in enumerate(listed, start=1):
        if each.position != position:
            SavedView.objects.filter(pk=each.pk).update(position=position)
    _tell("moved", held, member, "Moved up." if up else "Moved down.")


def may_change(view: SavedView, member: Membership) -> bool:
    """Whether this member may rename, move and delete it."""
    mine = view.owner_id == member.user_id
    return member.may(Permission.SHARE_VIEWS) if view.shared and not mine else mine


def counted(views: Sequence[SavedView], member: Membership) -> dict[int, int]:
    """How many rows each view has, up to one more than the cap; what takes long has none.

    All are counted in one statement. Only where that takes too long is each asked by itself, to leave out the slow one.
    """
    rows = {f"view_{view.pk}": LISTS[view.page].found(member, view.query) for view in views}
    found = _counted_in_time(rows, member)
    if found is None:
        found = {}
        for name, each in rows.items():
            found |= _counted_in_time({name: each}, member) or {}
    return {view.pk: found[f"view_{view.pk}"] for view in views if f"view_{view.pk}" in found}


def _counted_in_time(rows: Mapping[str, QuerySet[Any]], member: Membership) -> dict[str, int] | None:
    """The numbers, or None where they take too long."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true)",
                [str(MILLISECONDS)],
            )
            usual = cursor.fetchone()[0]
            found = counts_of(member, CAP, rows)
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [usual])
    except OperationalError as error:
        if not is_busy(error):
            raise
        return None
    return found


def _name(text: str) -> str:
    name = " ".join(text.replace("\x00", "").split())
    if not name:
        raise NotSaved("Give it a name.")
    if len(name) > 40:
        raise NotSaved("The name is longer than 40 characters.")
    return name


def _write(view: SavedView) -> None:
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError as error:
        if "opsdesk_savedview_name_once" not in str(error):
            raise
        raise NotSaved(f"You have a view named “{view.name}” of this list already.") from error


def _locked(view: SavedView, member: Membership) -> SavedView:
    held = SavedView.objects.visible_to(member).select_for_update(of=("self",)).filter(pk=view.pk).first()
    if held is None:
        raise NotYours("It is not there any more.")
    _refuse_unless_may_change(held, member)
    return held


def _refuse_unless_may_change(view: SavedView, member: Membership) -> None:
    if not may_change(view, member):
        raise NotYours("Only its owner changes this view.")


def _refuse_unless_may_share(member: Membership) -> None:
    if not member.may(Permission.SHARE_VIEWS):
        raise NotYours("You may not share views with the organization.")


def _tell(what: str, view: SavedView, member: Membership, reason: str, **sides: Mapping[str, object]) -> None:
    record(
        f"opsdesk.view.{what}",
        actor=Actor.person(member.user),
        organization_id=member.organization_id,
        subject=("savedview", view.pk),
        reason=reason,
        **(sides or {"after": {"name": view.name, "shared": view.shared}}),
    )
