"""Configured outside systems, the doors they knock at, and the log of our calls."""

from datetime import timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from accounts.models import Membership, Organization
from accounts.veils import unveiled
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
    secret = EncryptedField(
        bound_to=["organization_id", "slug"], blank=True, help_text="API key; stored encrypted, never shown again."
    )
    options = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="What its connector must be told besides, by name."
    )
    enabled = models.BooleanField(default=True, help_text="Off: nothing is read from it or sent to it.")
    acting_enabled = models.BooleanField(default=True, help_text="Kill switch for actions: reading goes on.")
    paused_reason = models.CharField(max_length=200, blank=True)
    calls_per_second = models.DecimalField(
        max_digits=6,
        decimal_places=2,
        null=True,
        blank=True,
        help_text="Calls a second that the other side allows; empty: as many as there are.",
    )
    burst = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="Calls that may go out at once after a pause; empty: those of two seconds.",
    )
    most_at_once = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Tries under way at the same time; empty: as many as there are."
    )
    most_attempts = models.PositiveSmallIntegerField(
        default=3,
        db_default=3,
        help_text="Tries of a call that certainly had no effect, before a person looks. Outages use up none.",
    )

    objects: ClassVar[ConnectionQuerySet] = ConnectionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["organization", "name"]
        constraints = [
            models.UniqueConstraint(name="integrations_connection_slug_once", fields=["organization", "slug"]),
            models.CheckConstraint(
                name="integrations_connection_limits_let_some_through",
                condition=(models.Q(calls_per_second=None) | models.Q(calls_per_second__gt=0))
                & (models.Q(burst=None) | models.Q(burst__gt=0))
                & (models.Q(most_at_once=None) | models.Q(most_at_once__gt=0))
                & models.Q(most_attempts__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def limited(self) -> bool:
        """Whether its calls are counted before they go out."""
        return self.calls_per_second is not None or self.most_at_once is not None


class Endpoint(models.Model):
    """An address at which an outside system delivers webhooks; old and new secret may overlap for a while."""

    class Scheme(models.TextChoices):
        STANDARD = "standard", "Standard Webhooks"
        STRIPE = "stripe", "Stripe-Signature"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="endpoints")
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="endpoints")
    slug = models.SlugField(max_length=40, help_text="Last part of the address /hooks/<organization>/<slug>.")
    scheme = models.CharField(max_length=10, choices=Scheme)
    secret = EncryptedField(
        bound_to=["organization_id", "slug"], help_text="Signing secret; stored encrypted, never shown again."
    )
    old_secret = EncryptedField(
        bound_to=["organization_id", "slug"], blank=True, help_text="Still accepted during a change of secrets."
    )
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
        """Calls over the connections of the member's own organization, but for veiled cases."""
        ours = self.filter(connection__organization_id=membership.organization_id)
        return unveiled(ours, membership, "action__case")


class Call(models.Model):
    """One request we sent: what for, how long, what came back; secrets and bodies stay out."""

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="calls", db_index=False)
    action = models.ForeignKey("Action", on_delete=models.PROTECT, null=True, related_name="calls")
    operation = models.CharField(max_length=40, help_text="What this one call was for.")
    part_of = models.CharField(
        max_length=40, blank=True, db_default="", help_text="The operation it was part of, whose breaker it counts for."
    )
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=200)
    status = models.PositiveSmallIntegerField(null=True, help_text="HTTP status; empty when no answer came.")
    outcome = models.CharField(max_length=16, help_text="ok, or the kind of failure.")
    message = models.CharField(max_length=300, blank=True)
    milliseconds = models.PositiveIntegerField()
    at = models.DateTimeField(db_default=Now(), help_text="When its answer was written down.")

    # How long the answer asked us to stay away; said to the breaker, kept nowhere.
    told: timedelta | None = None

    objects: ClassVar[models.Manager["Call"]] = CallQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(name="integrations_call_latest", fields=["connection", "-id"]),
            models.Index(name="integrations_call_of_late", fields=["connection", "-at"]),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.status or 'no answer'}"
