"""People who are erased: that two agreed on it, and what it came to. Who they were is forgotten with the rest."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q

from accounts.models import Membership, Organization, User
from opsdesk.lib.wording import visible


class PersonErasureQuerySet(models.QuerySet["PersonErasure"]):
    def visible_to(self, membership: Membership) -> Self:
        """Those of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)


class PersonErasure(models.Model):
    """One customer or requester whom two people agreed to erase: at once, or by whoever owns the tables."""

    class Kind(models.TextChoices):
        CUSTOMER = "customer", "a customer, by the number systems outside use"
        REQUESTER = "requester", "a requester, as the requests name them"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField("who", max_length=10, choices=Kind, default=Kind.CUSTOMER)
    name = models.CharField(
        "number or name", max_length=200, blank=True, help_text="Just as cases have it. It is forgotten with the rest."
    )
    mark = models.CharField(max_length=40, editable=False, help_text="What stands for them afterwards.")
    cases = models.PositiveIntegerField(default=0, editable=False)
    cleared = models.JSONField(default=dict, editable=False, help_text="How many rows of what name them.")
    agreed_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, editable=False, related_name="+")
    agreed_at = models.DateTimeField(null=True, editable=False)
    done_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[PersonErasureQuerySet] = PersonErasureQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        verbose_name = "erasure of a person"
        verbose_name_plural = "erasures of people"
        constraints = [
            models.CheckConstraint(
                name="opsdesk_personerasure_forgets_the_name",
                condition=Q(done_at=None) & ~Q(name="") | Q(done_at__isnull=False, name=""),
            ),
            models.CheckConstraint(
                name="opsdesk_personerasure_known_kind", condition=Q(kind__in=["customer", "requester"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {visible(self.name or self.mark, at_most=120)}"
