"""Accounts that sign in by an identity provider, and which of its groups have which role here.

The provider belongs to the whole desk and is set where the desk runs, so no admin of one organization can pass for
people of another. Which groups mean which role is data of each organization.
"""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.roles import Role


def provider_name() -> str:
    """What the provider is called on the button; "" where nobody signs in by one."""
    provider = settings.IDENTITY_PROVIDER
    return str(provider["name"]) if provider["issuer"] and provider["client_id"] else ""


class Identity(models.Model):
    """What the provider calls the owner of an account. Whoever has one signs in by nothing else."""

    user = models.OneToOneField("accounts.User", on_delete=models.PROTECT, related_name="identity")
    issuer = models.CharField(max_length=200)
    subject = models.CharField(max_length=255, help_text="The provider's own name for the person, which never changes.")
    made_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(name="accounts_identity_of_one_account", fields=["issuer", "subject"]),
            models.CheckConstraint(name="accounts_identity_names_somebody", condition=~Q(subject="") & ~Q(issuer="")),
        ]

    def __str__(self) -> str:
        return f"identity of {self.user}"


class GroupRoleQuerySet(models.QuerySet["GroupRole"]):
    """Roles by group."""

    def in_force(self) -> "GroupRoleQuerySet":
        """Those that count, the one that goes before others first."""
        return self.filter(enabled=True).order_by("organization_id", "position", "pk")


class GroupRole(models.Model):
    """Whoever is in this group of the provider has this role here. Read afresh with each sign-in."""

    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="group_roles")
    group = models.CharField(max_length=200, help_text="As the provider spells it; upper and lower case differ.")
    role = models.CharField(max_length=12, choices=Role.choices)
    position = models.PositiveSmallIntegerField(
        default=1, help_text="Whoever is in several of these groups has the role with the lowest number."
    )
    enabled = models.BooleanField(default=True, help_text="Off: the group means nothing here.")

    objects: ClassVar[models.Manager["GroupRole"]] = GroupRoleQuerySet.as_manager()

    class Meta:
        ordering = ["organization", "position", "pk"]
        verbose_name = "role by group"
        verbose_name_plural = "roles by group"
        constraints = [
            models.UniqueConstraint(name="accounts_grouprole_once_per_group", fields=["organization", "group"]),
            models.CheckConstraint(name="accounts_grouprole_known_role", condition=Q(role__in=Role.values)),
            models.CheckConstraint(name="accounts_grouprole_names_a_group", condition=~Q(group="")),
        ]

    def __str__(self) -> str:
        return f"{self.group}: {self.get_role_display()}"


def signs_in_by_provider(user: models.Model) -> bool:
    """Whether this door is closed to the account's password and passkeys, because the provider says who comes in."""
    found = Identity.objects.filter(user_id=user.pk, issuer=settings.IDENTITY_PROVIDER["issuer"])
    return bool(provider_name()) and found.exists()
