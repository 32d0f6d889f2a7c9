"""What the desk tells its people about itself: something stopped, grows, or is missing."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User


class AlertQuerySet(models.QuerySet["Alert"]):
    def visible_to(self, membership: Membership) -> Self:
        """Alerts of the member's own organization, and those about the desk that all of them share."""
        return self.filter(Q(organization_id=membership.organization_id) | Q(organization=None))

    def open(self) -> Self:
        """Alerts whose cause still stands."""
        return self.filter(cleared_at=None)

    def unanswered(self) -> Self:
        """Open alerts that nobody has said they look after."""
        return self.open().filter(acknowledged_at=None)


class Alert(models.Model):
    """One thing that is wrong, from when it was first seen until it was seen to be over.

    It is raised and cleared by `workflows.alerts` alone; a person may say that they look after it, which ends nothing.
    """

    organization = models.ForeignKey(
        Organization,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="Whom it concerns; nobody in particular when it is the desk that all organizations share.",
    )
    kind = models.SlugField(max_length=40, db_index=False, help_text="What sort of trouble, as registered.")
    subject = models.CharField(max_length=160, help_text="What it is about, such as “workflow 3” or “queue runs”.")
    words = models.CharField(max_length=500, help_text="What is wrong and what to do, in sentences.")
    since = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    cleared_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    note = models.CharField(max_length=300, blank=True, help_text="What the person who looks after it said.")

    objects: ClassVar[AlertQuerySet] = AlertQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            # Two who see the same trouble at once raise it once. No organization counts as one, too.
            models.UniqueConstraint(
                name="workflows_alert_one_open_per_subject",
                fields=["kind", "subject", "organization"],
                condition=Q(cleared_at=None),
                nulls_distinct=False,
            ),
            models.CheckConstraint(name="workflows_alert_says_what", condition=~Q(words="") & ~Q(subject="")),
            models.CheckConstraint(
                name="workflows_alert_acknowledged_by_somebody",
                condition=Q(acknowledged_at=None, acknowledged_by=None)
                | Q(acknowledged_at__isnull=False, acknowledged_by__isnull=False),
            ),
        ]
        indexes = [models.Index(name="workflows_alert_cleared", fields=["-id"], condition=Q(cleared_at__isnull=False))]

    def __str__(self) -> str:
        return f"alert {self.pk}: {self.words}"
