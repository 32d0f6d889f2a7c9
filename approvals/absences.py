"""Time off: who is away, who stands in for them, and how that is agreed and called off."""

from collections.abc import Iterable
from datetime import date
from zoneinfo import ZoneInfo

from django.db import transaction

from accounts.models import Membership, Organization, User
from accounts.roles import Permission, roles_with
from approvals.errors import AbsenceRefused
from approvals.models import Absence
from auditlog.services import Actor, record
from opsdesk.lib import clock
from opsdesk.lib.money import Money

_DECIDING_ROLES = roles_with(Permission.DECIDE)


def today_in(organization: Organization) -> date:
    """The day it is where the organization works."""
    return clock.now().astimezone(ZoneInfo(organization.time_zone)).date()


def away_today(organization_id: int) -> dict[int, Absence]:
    """Absences of today by the account of the person who is away; two accounts of one person are away together."""
    today = today_in(Organization.objects.get(pk=organization_id))
    away = Absence.objects.filter(organization_id=organization_id).on(today).select_related("user", "delegate")
    found: dict[int, Absence] = {}
    for absence in away:
        accounts = User.objects.filter(person=absence.user.person_id) if absence.user.person_id else [absence.user]
        for account in accounts:
            found[account.pk] = absence
    return found


def stood_in_for(user: User, organization_id: int) -> list[Absence]:
    """Absences of today in which this person votes for somebody."""
    today = today_in(Organization.objects.get(pk=organization_id))
    rows = Absence.objects.filter(organization_id=organization_id, delegate=user).on(today)
    return list(rows.select_related("user").order_by("pk"))


def who_may_decide(organization_id: int) -> set[int]:
    """Every account that may decide in the organization now."""
    rows = Membership.objects.active().filter(organization_id=organization_id, role__in=_DECIDING_ROLES)
    return set(rows.values_list("user_id", flat=True))


def may_decide(user_ids: Iterable[int], organization_id: int) -> set[int]:
    """Those of the accounts that may decide in the organization now."""
    rows = Membership.objects.active().filter(organization_id=organization_id, role__in=_DECIDING_ROLES)
    return set(rows.filter(user__in=list(user_ids)).values_list("user_id", flat=True))


@transaction.atomic
def take_time_off(
    user: User,
    *,
    by: Membership,
    begins_on: date,
    ends_on: date,
    delegate: User | None = None,
    ceiling: Money | None = None,
) -> Absence:
    """Agree on days off in the organization of `by`, who enters their own or, as a manager, those of somebody else.

    Raises AbsenceRefused, in words.
    """
    organization = by.organization
    # Two entries at once must not overlap: they wait for each other here.
    member = Membership.objects.select_for_update(of=("self",)).filter(
        user=user, organization=organization, ended_at=None
    )
    if not list(member):
        raise AbsenceRefused("Only members can be away.")
    if user.pk != by.user_id and not by.may(Permission.MANAGE):
        raise AbsenceRefused("Only managers enter the time off of others.")
    _check_days(user, organization, begins_on, ends_on)
    if delegate is not None and (user.same_person_as(delegate) or not may_decide([delegate.pk], organization.pk)):
        raise AbsenceRefused("Choose a colleague who may decide.")
    if ceiling is not None and (delegate is None or ceiling.minor < 0):
        raise AbsenceRefused("An amount limits somebody who stands in: choose who.")
    absence = Absence.objects.create(
        organization=organization,
        user=user,
        begins_on=begins_on,
        ends_on=ends_on,
        delegate=delegate,
        ceiling_minor=ceiling.minor if ceiling else None,
        ceiling_currency=ceiling.currency if ceiling else "",
    )
    words = f"{user} is away from {begins_on} to {ends_on}"
    if delegate is not None:
        words += f", {delegate} decides for them{f' up to {ceiling}' if ceiling else ''}"
    _tell(absence, "agreed", by.user, f"{words}.")
    return absence


def _check_days(user: User, organization: Organization, begins_on: date, ends_on: date) -> None:
    if ends_on < begins_on:
        raise AbsenceRefused("The last day is before the first.")
    if ends_on < today_in(organization):
        raise AbsenceRefused("These days are over.")
    others = Absence.objects.standing().filter(
        organization=organization, user=user, begins_on__lte=ends_on, ends_on__gte=begins_on
    )
    other = others.first()
    if other is not None:
        raise AbsenceRefused(f"There is time off from {other.begins_on} to {other.ends_on} already: call it off first.")


@transaction.atomic
def call_off(absence_id: int, *, by: Membership) -> Absence:
    """End time off now, and with it the right of whoever stands in. Raises AbsenceRefused."""
    absence = Absence.objects.visible_to(by).select_for_update(of=("self",)).get(pk=absence_id)
    if absence.user_id != by.user_id and not by.may(Permission.MANAGE):
        raise AbsenceRefused("Only managers call off the time off of others.")
    if absence.ended_at is None:
        Absence.objects.filter(pk=absence.pk).update(ended_at=clock.now())
        _tell(absence, "called_off", by.user, f"{by.user} called it off.")
    return absence


def _tell(absence: Absence, verb: str, by: User, reason: str) -> None:
    record(
        f"approvals.absence.{verb}",
        actor=Actor.person(by),
        organization_id=absence.organization_id,
        subject=("absence", absence.pk),
        after={
            "user": str(absence.user),
            "from": absence.begins_on.isoformat(),
            "to": absence.ends_on.isoformat(),
            "delegate": str(absence.delegate or ""),
            "ceiling": str(absence.ceiling or ""),
        },
        reason=reason,
    )
