"""Who has a review open to decide it, and until when that holds without news of them."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from accounts.models import Membership, User
from accounts.roles import Permission, roles_with
from approvals.models.reviews import Review

_DECIDING_ROLES = roles_with(Permission.DECIDE)


class ClaimQuerySet(models.QuerySet["Claim"]):
    def visible_to(self, membership: Membership) -> Self:
        """Claims on reviews of the member's own organization."""
        return self.filter(review__organization_id=membership.organization_id)

    def standing(self) -> Self:
        """Claims that hold now: the lease runs by the database's clock, and the holder may still decide."""
        rights = Membership.objects.filter(
            user=OuterRef("holder"),
            user__is_active=True,
            organization=OuterRef("review__organization"),
            ended_at=None,
            role__in=_DECIDING_ROLES,
        )
        return self.filter(Exists(rights), until__gt=Now())


class Claim(models.Model):
    """One person's lease on a review. It is a courtesy among colleagues: a vote decides, a claim never does."""

    review = models.OneToOneField(Review, on_delete=models.CASCADE, primary_key=True, related_name="claim")
    holder = models.ForeignKey(User, on_delete=models.PROTECT, related_name="claims")
    since = models.DateTimeField()
    until = models.DateTimeField(help_text="When it ends by itself, unless the holder's page is heard of before.")

    objects: ClassVar[ClaimQuerySet] = ClaimQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.CheckConstraint(name="approvals_claim_ends_after_it_began", condition=Q(until__gte=F("since")))
        ]

    def __str__(self) -> str:
        return f"{self.holder} on {self.review}"
