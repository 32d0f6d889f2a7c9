"""Organizations, the people in them, their teams and roles."""

from datetime import timedelta
from typing import ClassVar

import pgtrigger
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.apart import keeps_audit
from accounts.identities import GroupRole, Identity
from accounts.proposed import Proposal
from accounts.roles import GRANTS, Permission, Role
from accounts.sessions import Session
from accounts.tokens import ApiToken

__all__ = ["ApiToken", "GroupRole", "Identity", "Proposal", "Session"]
# Sessions end with what their owner was let in by.
_END_SESSIONS = "DELETE FROM accounts_session WHERE user_id = {}; RETURN NULL;"


class Organization(models.Model):
    """A business unit whose people, thresholds and data stand apart."""

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=40, unique=True, help_text="Part of the webhook addresses; never changes.")
    time_zone = models.CharField(
        max_length=40,
        default="UTC",
        help_text="IANA zone name, such as Europe/London: calendars count in it.",
    )
    currency = models.CharField(max_length=3, default="EUR", help_text="ISO 4217 code shown first in sums.")
    acting_enabled = models.BooleanField(
        default=True, help_text="The organization's kill switch: off means nothing is sent outside."
    )
    rules_need_second_person = models.BooleanField(
        default=True,
        db_default=True,
        help_text="Workflow versions, rules and thresholds are put in force by another person than the one who changed "
        "them last.",
    )
    rights_need_second_person = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Changes of roles, teams, tiers, limits and ceilings, keeping records for less time, and lifting "
        "legal holds are put in force by another person than the one who proposes them. Taking a right away, and the "
        "kill switch, take effect at once.",
    )
    audit_kept_apart = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Retention and legal holds are set by Auditors whose account opens the admin, and by no Admin. "
        "Nobody does both, with however many accounts.",
    )
    recovery_signatures = models.PositiveSmallIntegerField(
        default=1,
        db_default=1,
        choices=[(1, "One person signs"), (2, "Two people sign")],
        help_text="How many people read the reconciliation and sign before anything is sent again after a restore.",
    )
    idle_minutes = models.PositiveSmallIntegerField(
        default=30, db_default=30, help_text="Minutes without a click after which one has to sign in again: 5 to 240."
    )
    session_hours = models.PositiveSmallIntegerField(
        default=12, db_default=12, help_text="Hours after which one has to sign in again in any case: 1 to 24."
    )
    factor_roles = ArrayField(
        models.CharField(max_length=12, choices=Role.choices),
        default=list,
        db_default=[],
        blank=True,
        help_text="Whoever has one of these roles signs in with a one-time code or a passkey beside the password.",
    )
    confirm_above_minor = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="Whoever approves more than this shows again who they are. In the smallest unit of the currency "
        "(pence, cents); other currencies always ask. Empty: never asked.",
    )
    confirm_minutes = models.PositiveSmallIntegerField(
        default=15, db_default=15, help_text="Minutes for which that counts, and a sign-in too: 1 to 240."
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="accounts_organization_one_or_two_sign", condition=Q(recovery_signatures__in=[1, 2])
            ),
            models.CheckConstraint(
                name="accounts_organization_sessions_end",
                condition=Q(idle_minutes__range=(5, 240), session_hours__range=(1, 24)),
            ),
            models.CheckConstraint(
                name="accounts_organization_confirming_counts_a_while", condition=Q(confirm_minutes__range=(1, 240))
            ),
        ]

    def __str__(self) -> str:
        return self.name


class BusinessCalendar(models.Model):
    """When the organization works; objection windows and due times count only these minutes."""

    organization = models.OneToOneField(Organization, on_delete=models.PROTECT, related_name="calendar")
    weekdays = ArrayField(
        models.PositiveSmallIntegerField(), default=list, help_text="Working days: 0 is Monday, 6 is Sunday."
    )
    opens_at = models.TimeField(help_text="Local wall time in the organization's zone.")
    closes_at = models.TimeField(
        help_text="Local wall time; 00:00 is midnight at the end of the day, and before opening the next morning."
    )
    country = models.CharField(
        max_length=2, blank=True, default="", db_default="", help_text="On its public holidays nobody works."
    )
    subdivision = models.CharField(
        max_length=20, blank=True, default="", db_default="", help_text="Part of the country with holidays of its own."
    )
    holidays = ArrayField(models.DateField(), default=list, blank=True, help_text="Days on which nobody works.")
    worked_days = ArrayField(
        models.DateField(),
        default=list,
        db_default=[],
        blank=True,
        help_text="Days on which people work though they are holidays, or no working days.",
    )

    class Meta:
        # Older code beside the newer one, during an upgrade, knows the table by this name.
        db_table = "approvals_businesscalendar"
        constraints = [
            models.CheckConstraint(
                name="accounts_calendar_has_hours",
                condition=Q(closes_at="00:00") | ~Q(opens_at=F("closes_at")),
            )
        ]

    def __str__(self) -> str:
        return f"calendar of {self.organization}"


class DailyBreak(models.Model):
    """A part of every working day in which nobody works, such as lunch."""

    calendar = models.ForeignKey(BusinessCalendar, on_delete=models.CASCADE, related_name="breaks")
    starts_at = models.TimeField(help_text="Local wall time; before opening it is of the next morning.")
    ends_at = models.TimeField(help_text="Local wall time; not later than the start is on the next day.")

    class Meta:
        ordering = ["calendar", "starts_at"]
        verbose_name = "break"
        constraints = [
            models.UniqueConstraint(name="accounts_dailybreak_once", fields=["calendar", "starts_at"]),
            models.CheckConstraint(name="accounts_dailybreak_lasts", condition=~Q(starts_at=F("ends_at"))),
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%H:%M} to {self.ends_at:%H:%M}"


class Person(models.Model):
    """A human being. Four eyes are counted in people, so one person stays one however many accounts."""

    name = models.CharField(max_length=120)
    email = models.EmailField(blank=True)
    manager = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="reports",
        help_text="Whom cases are escalated to when this person leaves them waiting.",
    )

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "people"
        constraints = [
            models.CheckConstraint(name="accounts_person_manages_others", condition=~Q(manager=F("pk"))),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="nobody_above_themselves",
                operation=pgtrigger.Insert | pgtrigger.UpdateOf("manager_id"),
                when=pgtrigger.Before,
                condition=pgtrigger.Q(new__manager__isnull=False),
                # One at a time: two changes that each look right could make a circle together.
                func="""
                    PERFORM pg_advisory_xact_lock(hashtext('accounts_person.manager'));
                    IF EXISTS (
                        WITH RECURSIVE above(id) AS (
                            SELECT NEW.manager_id
                            UNION
                            SELECT p.manager_id FROM accounts_person p JOIN above a ON p.id = a.id
                            WHERE p.manager_id IS NOT NULL
                        )
                        SELECT 1 FROM above WHERE id = NEW.id
                    ) THEN
                        RAISE EXCEPTION 'pgtrigger: Nobody stands above themselves' USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            )
        ]

    def __str__(self) -> str:
        return self.name

    def above(self) -> "list[Person]":
        """The manager, the manager's manager, and so on to the top."""
        found: list[Person] = []
        person = self.manager
        while person is not None and person not in found:
            found.append(person)
            person = person.manager
        return found


class User(AbstractUser):
    """One account to sign in with; it belongs to a person."""

    person = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="accounts")
    membership: "Membership | None"

    class Meta(AbstractUser.Meta):
        swappable = "AUTH_USER_MODEL"
        triggers = [
            pgtrigger.Trigger(
                name="sessions_end_with_password",
                operation=pgtrigger.UpdateOf("password", "is_active", "is_staff", "is_superuser"),
                when=pgtrigger.After,
                condition=pgtrigger.Condition(
                    "((OLD.password, OLD.is_active, OLD.is_staff, OLD.is_superuser)"
                    " IS DISTINCT FROM (NEW.password, NEW.is_active, NEW.is_staff, NEW.is_superuser))"
                ),
                func=_END_SESSIONS.format("NEW.id"),
            )
        ]

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    @property
    def initials(self) -> str:
        """Two letters for the avatar."""
        parts = str(self).split()
        return "".join(part[0] for part in (parts[0], parts[-1]))[:2].upper() if parts else "?"

    @property
    def person_key(self) -> str:
        """The human being behind the account, as a word."""
        return f"person-{self.person_id}" if self.person_id else f"account-{self.pk}"

    def same_person_as(self, other: "User | None") -> bool:
        """Whether both accounts are one human being."""
        if other is None:
            return False
        return self.pk == other.pk or (self.person_id is not None and self.person_id == other.person_id)


class MembershipQuerySet(models.QuerySet["Membership"]):
    def active(self) -> "MembershipQuerySet":
        """Memberships that count today: not ended, and of accounts that may sign in."""
        return self.filter(ended_at=None, user__is_active=True)

    def of_same_person(self, user: User) -> "MembershipQuerySet":
        """Those of all accounts of one human being."""
        own = models.Q(user_id=user.pk)
        if user.person_id is not None:
            own |= models.Q(user__person_id=user.person_id)
        return self.filter(own)


class Membership(models.Model):
    """What one account may do in one organization."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role.choices)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Set to take the rights away; the row stays.")
    ended_by_groups = models.BooleanField(default=False, db_default=False, editable=False)

    # Known of members that were read `with_veil`, and once it was asked (accounts/veils.py).
    veiled: list[int] | None = None

    objects: ClassVar[models.Manager["Membership"]] = MembershipQuerySet.as_manager()

    class Meta:
        ordering = ["organization", "user"]
        constraints = [
            models.CheckConstraint(name="accounts_membership_known_role", condition=Q(role__in=Role.values)),
            models.UniqueConstraint(
                name="accounts_membership_one_active_per_user",
                fields=["organization", "user"],
                condition=Q(ended_at=None),
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="sessions_end_with_role",
                operation=pgtrigger.UpdateOf("role", "ended_at"),
                when=pgtrigger.After,
                condition=pgtrigger.Condition("((OLD.role, OLD.ended_at) IS DISTINCT FROM (NEW.role, NEW.ended_at))"),
                func=_END_SESSIONS.format("NEW.user_id"),
            )
        ]

    def __str__(self) -> str:
        return f"{self.user}, {self.get_role_display()} of {self.organization}"

    def may(self, permission: Permission) -> bool:
        """Whether the role carries the permission, and the person may have it."""
        granted = permission in GRANTS[Role(self.role)]
        return granted and (permission != Permission.KEEP_AUDIT or keeps_audit(self))

    @property
    def needs_factor(self) -> bool:
        """Whether the organization asks this role for more than a password."""
        return self.role in self.organization.factor_roles


def limits_for(membership: Membership | None) -> tuple[timedelta, timedelta]:
    """How long a member's session may stand idle, and how long it may last at all."""
    rules = membership.organization if membership else Organization()
    return timedelta(minutes=rules.idle_minutes), timedelta(hours=rules.session_hours)


class Team(models.Model):
    """Some people of one organization who vote in the same stage."""

    class Distribution(models.TextChoices):
        PUSH = "push", "Cases are given to people in turn"
        PULL = "pull", "People take the next case themselves"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="teams")
    name = models.CharField(max_length=60)
    slug = models.SlugField(max_length=40)
    members = models.ManyToManyField(User, blank=True, related_name="teams")
    distribution = models.CharField(
        max_length=4, choices=Distribution, default=Distribution.PUSH, db_default=Distribution.PUSH
    )
    cap = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="Open cases given to one person at most, over all their teams; further ones wait until somebody has "
        "room. Empty means no limit.",
    )

    class Meta:
        ordering = ["organization", "name"]
        constraints = [
            models.CheckConstraint(
                name="accounts_team_known_distribution", condition=Q(distribution__in=["push", "pull"])
            ),
            models.CheckConstraint(name="accounts_team_cap_leaves_room", condition=Q(cap=None) | Q(cap__gte=1)),
            models.UniqueConstraint(name="accounts_team_slug_once_per_organization", fields=["organization", "slug"]),
        ]

    def __str__(self) -> str:
        return self.name
