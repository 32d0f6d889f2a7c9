"""Somebody arrives with what their identity provider says about them: whose account it is, and what they may now.

In an organization that gives roles by group, the groups decide with every sign-in, for everybody who comes this way.
What an admin took away by hand stays taken away, and accounts that do not come this way are left alone.
"""

from dataclasses import dataclass

from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Q

from accounts import journal, proposals, sessions, signing_in
from accounts.errors import NotAllowed
from accounts.identities import GroupRole, Identity
from accounts.models import Membership, Person, User
from accounts.roles import Role
from accounts.snapshots import difference, snapshot
from opsdesk.lib import clock

NO_ROLE = "You are in no group that has a role here. Ask whoever looks after the groups, then sign in again."
CLOSED = "Your account here is closed. Ask an admin of the desk."
TAKEN_AWAY = "An admin of the desk has taken your role away. Ask them, whatever your groups say."
LAST = (
    "You are in no group that has a role here any more. You are also the last who may configure, so your role was "
    "kept, but nobody signs in with it: have somebody else given the role Admin."
)
KNOWN = (
    "There is an account here already with your name or mail address. Sign in to it as before and connect it under "
    "“Where you are signed in”, or ask an admin of the desk."
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the provider says: its own name for the person, and their groups. All of it was checked."""

    issuer: str
    subject: str
    name: str
    username: str
    email: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Welcome:
    """The account to open, or the sentence why there is none."""

    user: User | None
    refusal: str = ""


@transaction.atomic
def arrive(arrival: Arrival) -> Welcome:
    """Find or make the account, and have its roles follow the groups; whoever is refused loses theirs too."""
    with connection.cursor() as cursor:
        # One at a time for each person: two first sign-ins side by side would make two accounts.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 8124))", [f"{arrival.issuer} {arrival.subject}"]
        )
    roles = _roles(arrival.groups)
    identity = Identity.objects.select_related("user").filter(issuer=arrival.issuer, subject=arrival.subject).first()
    if identity is None:
        if not any(roles.values()):
            return Welcome(None, NO_ROLE)
        if _is_known(arrival):
            return Welcome(None, KNOWN)
        user = _make(arrival)
    else:
        user = identity.user
    if not user.is_active:
        return Welcome(None, CLOSED)
    refusal = _follow(user, roles)
    if refusal != LAST and Membership.objects.active().filter(user=user).exists():
        return Welcome(user)
    return Welcome(None, refusal or NO_ROLE)


@transaction.atomic
def connect(user: User, *, issuer: str, subject: str) -> str:
    """Have an account sign in by the provider from now on; the sentence why it does not, or "".

    The owner has shown who they are on both sides.
    """
    User.objects.select_for_update().get(pk=user.pk)
    if Identity.objects.filter(issuer=issuer, subject=subject).exists():
        return "Another account here is connected with that one already."
    if Identity.objects.filter(user=user).exists():
        return "Your account is connected already."
    Identity.objects.create(user=user, issuer=issuer, subject=subject)
    signing_in.tell(user, "accounts.user.connected", reason="Connected by its owner.", after={"provider": issuer})
    return ""


def _roles(groups: frozenset[str]) -> dict[int, Role | None]:
    """For each organization that gives roles by group: the role that these groups have there, or None."""
    found: dict[int, Role | None] = {}
    for row in GroupRole.objects.in_force():
        if found.setdefault(row.organization_id, None) is None and row.group in groups:
            found[row.organization_id] = Role(row.role)
    return found


def _is_known(arrival: Arrival) -> bool:
    """Whether it may well be somebody who has an account: two accounts of one human being must be one person."""
    mine = Q(username__iexact=arrival.username) if arrival.username else Q(pk__in=[])
    if arrival.email:
        mine |= Q(email__iexact=arrival.email) | Q(person__email__iexact=arrival.email)
    return User.objects.filter(mine).exists()


def _make(arrival: Arrival) -> User:
    username = arrival.username or f"by-provider-{sessions.handle_of(arrival.subject)}"
    try:
        UnicodeUsernameValidator()(username)
    except ValidationError:
        username = f"by-provider-{sessions.handle_of(arrival.subject)}"
    first, _, last = (arrival.name or username).rpartition(" ")
    person = Person.objects.create(name=(arrival.name or username)[:120], email=arrival.email[:254])
    user = User(username=username[:150], first_name=first[:150], last_name=last[:150], person=person)
    user.email = arrival.email[:254]
    user.set_unusable_password()
    user.save()
    Identity.objects.create(user=user, issuer=arrival.issuer, subject=arrival.subject)
    return user


def _follow(user: User, roles: dict[int, Role | None]) -> str:
    """Have the memberships follow the groups; the sentence for whoever does not get what they had."""
    refusal = ""
    was_admin = _administers(user)
    for organization_id, role in sorted(roles.items()):
        rows = Membership.objects.select_for_update(of=("self",)).filter(organization_id=organization_id, user=user)
        row = rows.filter(ended_at=None).first()
        if row is None:
            refusal = _begin(user, organization_id, role, last=rows.order_by("-pk").first()) or refusal
        elif role is None:
            refusal = _change(row, ended_at=clock.now(), ended_by_groups=True) or NO_ROLE
        elif row.role != role:
            refusal = _change(row, role=role) or refusal
        if refusal == LAST:
            return refusal
    if _administers(user) != was_admin:
        user.is_staff = not was_admin
        user.save(update_fields=["is_staff"])
    return refusal


def _administers(user: User) -> bool:
    return Membership.objects.active().filter(user=user, role=Role.ADMIN).exists()


def _begin(user: User, organization_id: int, role: Role | None, *, last: Membership | None) -> str:
    """Give the role, unless an admin took away the one before."""
    if role is None:
        return ""
    if last is not None and not last.ended_by_groups:
        return TAKEN_AWAY
    row = Membership.objects.create(user=user, organization_id=organization_id, role=role)
    _tell(row, "added", {}, snapshot(row))
    return ""


def _change(row: Membership, **changes: object) -> str:
    """Another role or none, which ends the sessions; the last who may configure loses these alone, and is told so."""
    before = snapshot(row)
    try:
        with transaction.atomic():
            for name, value in changes.items():
                setattr(row, name, value)
            row.save(update_fields=list(changes))
            if before["role"] == Role.ADMIN:
                proposals.refuse_lockout(row.organization_id)
            _tell(row, "changed", *difference(before, snapshot(row)))
    except NotAllowed:
        sessions.end(of_user=row.user_id)
        return LAST
    return ""


def _tell(row: Membership, verb: str, before: dict[str, object], after: dict[str, object]) -> None:
    journal.tell(
        f"accounts.membership.{verb}",
        user=row.user,
        organization_id=row.organization_id,
        subject=("membership", row.pk),
        reason="The groups at the identity provider say so, at the sign-in.",
        before=before,
        after=after,
    )
