"""What somebody takes on: kinds of cases, currencies, reasons."""

from typing import ClassVar, Self

from django.db import models

from accounts.models import Membership, Organization, User


class SkillQuerySet(models.QuerySet["Skill"]):
    def visible_to(self, membership: Membership) -> Self:
        """Skills in the member's own organization."""
        return self.filter(organization_id=membership.organization_id)


class Skill(models.Model):
    """Cases a person is given and offered as their next one. Whoever has none is given every case.

    It says who is asked first, not who may vote: what nobody has a skill for goes to everybody.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="skills")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="skills")
    kind = models.SlugField(max_length=30, blank=True, default="", help_text="Such as refund; empty: every kind.")
    currency = models.CharField(max_length=3, blank=True, default="", help_text="Such as GBP; empty: every currency.")
    reason = models.CharField(
        max_length=60, blank=True, default="", help_text="The requester's reason, such as damaged; empty: every reason."
    )
    enabled = models.BooleanField(default=True)

    objects: ClassVar[SkillQuerySet] = SkillQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["organization", "user", "pk"]
        constraints = [
            models.UniqueConstraint(
                name="approvals_skill_once", fields=["organization", "user", "kind", "currency", "reason"]
            )
        ]

    def __str__(self) -> str:
        parts = [part for part in (self.kind, self.currency, self.reason) if part]
        return f"{self.user}: {', '.join(parts) or 'everything'}"
