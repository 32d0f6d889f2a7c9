"""Configured outside systems, the doors they knock at, and the log of our calls."""

from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from accounts.models import Membership, Organization
from integrations.secrets import EncryptedField


class ConnectionQuerySet(models.QuerySet["Connection"]):
    def visible_to(self, membership: Membership) -> Self:
        """Connections of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)


class Connection(models.Model):
    """One outside system with its address, its secret and its switches."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="connections")
    slug = models.SlugField(max_length=40)
    name = models.CharField(max_length=80)
    connector = models.SlugField(max_length=30, help_text="The registered protocol, such as stripe.")
    base_url = models.URLField(
        max_length=200, blank=True, help_text="Root of its API; empty where it only sends to us."
    )
    secret = EncryptedField(blank=True, help_text="API key; stored encrypted, never shown again.")
    enabled = models.BooleanField(default=True, help_text="Off: nothing is read from it or sent to it.")
    acting_enabled = models.BooleanField(default=True, help_text="Kill switch for actions: reading goes on.")
    paused_reason = models.CharField(max_length=200, blank=True)

    objects: ClassVar[ConnectionQuerySet] = ConnectionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["organization", "name"]
        constraints = [
            models.UniqueConstraint(name="integrations_connection_slug_once", fields=["organization", "slug"])
        ]

    def __str__(self) -> str:
        return self.name


class Endpoint(models.Model):
    """An address at which an outside system delivers webhooks; old and new secret may overlap for a while."""

    class Scheme(models.TextChoices):
        STANDARD = "standard", "Standard Webhooks"
        STRIPE = "stripe", "Stripe-Signature"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="endpoints")
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="endpoints")
    slug = models.SlugField(max_length=40, help_text="Last part of the address /hooks/<organization>/<slug>.")
    scheme = models.CharField(max_length=10, choices=Scheme)
    secret = EncryptedField(help_text="Signing secret; stored encrypted, never shown again.")
    old_secret = EncryptedField(blank=True, help_text="Still accepted during a change of secrets.")
    old_secret_until = models.DateTimeField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    refused_at = models.DateTimeField(
        null=True, editable=False, help_text="When a rightly signed webhook was last refused for its time."
    )
    refused_skew = models.BigIntegerField(
        db_default=0, editable=False, help_text="Seconds its sender's clock was ahead of ours; negative when behind."
    )

    class Meta:
        ordering = ["organization", "slug"]
        constraints = [
            models.UniqueConstraint(name="integrations_endpoint_slug_once", fields=["organization", "slug"]),
            models.CheckConstraint(
                name="integrations_endpoint_old_secret_ends",
                condition=models.Q(old_secret="") | models.Q(old_secret_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organization.slug}/{self.slug}"


class CallQuerySet(models.QuerySet["Call"]):
    def visible_to(self, membership: Membership) -> Self:
        """Calls over the connections of the member's own organization."""
        return self.filter(connection__organization_id=membership.organization_id)


class Call(models.Model):
    """One request we sent: what for, how long, what came back; secrets and bodies stay out."""

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="calls", db_index=False)
    action = models.ForeignKey("Action", on_delete=models.PROTECT, null=True, related_name="calls")
    operation = models.CharField(max_length=40)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=200)
    status = models.PositiveSmallIntegerField(null=True, help_text="HTTP status; empty when no answer came.")
    outcome = models.CharField(max_length=16, help_text="ok, or the kind of failure.")
    message = models.CharField(max_length=300, blank=True)
    milliseconds = models.PositiveIntegerField()
    at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager["Call"]] = CallQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(name="integrations_call_latest", fields=["connection", "-id"])]

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.status or 'no answer'}"
