"""Who is away from when to when, and who decides for them meanwhile."""

from datetime import date
from typing import ClassVar, Self

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from opsdesk.lib.money import Money


class AbsenceQuerySet(models.QuerySet["Absence"]):
    def visible_to(self, membership: Membership) -> Self:
        """Absences of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)

    def standing(self) -> Self:
        """Those that were not called off."""
        return self.filter(ended_at=None)

    def on(self, day: date) -> Self:
        """Those that hold on a day of the organization's calendar."""
        return self.standing().filter(begins_on__lte=day, ends_on__gte=day)


class Absence(models.Model):
    """Days on which a person is given no work, and the colleague who may vote in their place up to an amount.

    What is agreed does not change: a change of plans calls it off and writes a new one.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="absences")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="absences")
    begins_on = models.DateField(help_text="First day away, in the organization's zone.")
    ends_on = models.DateField(help_text="Last day away.")
    delegate = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Votes in their place, in the stages of their teams.",
    )
    ceiling_minor = models.BigIntegerField(
        null=True, blank=True, help_text="Minor units: above this the delegate does not vote. Empty means no limit."
    )
    ceiling_currency = models.CharField(max_length=3, blank=True, default="")
    made_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When it was called off.")

    objects: ClassVar[AbsenceQuerySet] = AbsenceQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["begins_on", "pk"]
        constraints = [
            models.CheckConstraint(
                name="approvals_absence_ends_after_it_begins", condition=Q(ends_on__gte=F("begins_on"))
            ),
            models.CheckConstraint(
                name="approvals_absence_delegate_is_another", condition=Q(delegate=None) | ~Q(delegate=F("user"))
            ),
            models.CheckConstraint(
                name="approvals_absence_ceiling_is_an_amount",
                condition=Q(ceiling_minor=None, ceiling_currency="")
                | (Q(ceiling_minor__gte=0, delegate__isnull=False) & ~Q(ceiling_currency="")),
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="only_called_off_later",
                operation=pgtrigger.UpdateOf(
                    "organization_id",
                    "user_id",
                    "begins_on",
                    "ends_on",
                    "delegate_id",
                    "ceiling_minor",
                    "ceiling_currency",
                ),
            ),
            pgtrigger.Protect(name="never_removed", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.user} away until {self.ends_on:%-d %b}"

    @property
    def ceiling(self) -> Money | None:
        """The most the delegate may let go; None when nothing limits them."""
        return None if self.ceiling_minor is None else Money(self.ceiling_minor, self.ceiling_currency)

    def covers(self, amount: Money | None) -> bool:
        """Whether the delegate may decide so much: an amount nobody knows or in another currency is too much."""
        if self.ceiling is None:
            return True
        return amount is not None and amount.currency == self.ceiling_currency and amount.minor <= self.ceiling.minor
