"""Timers of reviews that broke."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization
from accounts.veils import unveiled
from approvals.models.reviews import Review
from approvals.states import REVIEW_FINAL, Timer


class SetbackQuerySet(models.QuerySet["Setback"]):
    def visible_to(self, membership: Membership) -> Self:
        """Setbacks in the member's own organization, but of veiled cases."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership, "review__case")

    def standing(self) -> Self:
        """Timers that nobody tries any more, of reviews that are not over."""
        return self.filter(again_at=None).exclude(review__state__in=REVIEW_FINAL)

    def holding(self) -> Self:
        """Timers that are not tried now."""
        return self.filter(Q(again_at=None) | Q(again_at__gt=Now()))


class Setback(models.Model):
    """One timer of one review that broke in a row, and when it is tried again. There is none while it works."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="setbacks", db_index=False)
    timer = models.CharField(max_length=10, choices=Timer)
    tries = models.PositiveSmallIntegerField(help_text="How often it broke in a row.")
    again_at = models.DateTimeField(null=True, help_text="When it is tried again; empty: once somebody lets it go on.")
    problem = models.CharField(max_length=300, help_text="What broke, in words.")
    broke_at = models.DateTimeField(db_default=Now(), help_text="When it broke first.")

    objects: ClassVar[SetbackQuerySet] = SetbackQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(name="approvals_setback_known_timer", condition=Q(timer__in=Timer.values)),
            models.CheckConstraint(name="approvals_setback_says_what_broke", condition=~Q(problem="")),
            models.UniqueConstraint(name="approvals_setback_one_a_timer", fields=["review", "timer"]),
        ]
        indexes = [
            models.Index(
                name="approvals_setback_standing", fields=["organization", "broke_at"], condition=Q(again_at=None)
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_timer_display()} of {self.review}"
