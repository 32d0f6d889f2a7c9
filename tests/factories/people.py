"""People, their teams and organizations."""

from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any

from django.contrib.auth.hashers import make_password

from accounts.models import BusinessCalendar, Membership, Organization, Person, Team, User
from accounts.roles import Role
from approvals.models import Absence
from opsdesk.lib import clock

NAMES = {
    "ada": ("Ada", "Okafor", Role.OPERATOR),
    "ben": ("Ben", "Marsh", Role.OPERATOR),
    "maya": ("Maya", "Nowak", Role.MANAGER),
    "tomasz": ("Tomasz", "Kowal", Role.ADMIN),
    "ines": ("Ines", "Lindqvist", Role.AUDITOR),
}


@dataclass(frozen=True)
class Cast:
    """The people of one organization: ada and ben decide, maya manages, tomasz administers, ines audits."""

    ada: User
    ben: User
    maya: User
    tomasz: User
    ines: User

    def __iter__(self) -> Any:
        return iter((self.ada, self.ben, self.maya, self.tomasz, self.ines))


def make_organization(slug: str = "wholesale-uk", *, time_zone: str = "Europe/London", **fields: Any) -> Organization:
    """An organization that trades in pounds and works round the clock."""
    fields = {"name": slug.replace("-", " ").title(), "currency": "GBP", **fields}
    organization = Organization.objects.create(slug=slug, time_zone=time_zone, **fields)
    BusinessCalendar.objects.create(
        organization=organization, weekdays=list(range(7)), opens_at=time(0), closes_at=time(0)
    )
    return organization


def make_member(
    organization: Organization,
    username: str,
    role: Role,
    *,
    first_name: str = "",
    last_name: str = "",
    teams: tuple[Team, ...] = (),
) -> User:
    """A person with one account; without a password, tests sign in by `client.force_login`."""
    first_name = first_name or username.title()
    person = Person.objects.create(name=f"{first_name} {last_name}".strip())
    user = User.objects.create(
        username=username,
        email=f"{username}@desk.example",
        first_name=first_name,
        last_name=last_name,
        person=person,
        is_staff=role == Role.ADMIN,
        password=make_password(None),
    )
    Membership.objects.create(organization=organization, user=user, role=role)
    for team in teams:
        team.members.add(user)
    return user


def make_team(organization: Organization, slug: str) -> Team:
    """A team without members, unless it is there already."""
    return Team.objects.get_or_create(organization=organization, slug=slug, defaults={"name": slug.title()})[0]


def make_cast(organization: Organization, *, suffix: str = "") -> Cast:
    """The five people; `suffix` tells them from others. Ada, Ben and Maya are in the team `refunds`."""
    team = make_team(organization, "refunds")
    people = {
        name: make_member(
            organization,
            f"{name}{suffix}",
            role,
            first_name=first,
            last_name=last,
            teams=(team,) if role in (Role.OPERATOR, Role.MANAGER) else (),
        )
        for name, (first, last, role) in NAMES.items()
    }
    return Cast(**people)


def make_absence(
    user: User,
    organization: Organization,
    *,
    days: tuple[int, int] = (0, 7),
    delegate: User | None = None,
    **fields: Any,
) -> Absence:
    """Time off from so many days from today to so many."""
    begins_on, ends_on = (clock.now().date() + timedelta(days=day) for day in days)
    return Absence.objects.create(
        organization=organization, user=user, begins_on=begins_on, ends_on=ends_on, delegate=delegate, **fields
    )
