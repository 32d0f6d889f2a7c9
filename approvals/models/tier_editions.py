"""What a tier meant before: every edition that was in force is kept, so that one can be gone back to."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models.functions import Now

from accounts.models import User
from approvals.models.tiers import TierSettings


class TierEdition(models.Model):
    """One edition of a tier's settings with its stages and rungs; the newest is in force."""

    tier = models.ForeignKey(TierSettings, on_delete=models.CASCADE, related_name="editions")
    number = models.PositiveIntegerField()
    content = models.JSONField(help_text="Its settings by name, its stages and its rungs in their order.")
    made_at = models.DateTimeField(db_default=Now())
    made_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=500)

    objects: ClassVar[models.Manager["TierEdition"]] = models.Manager()

    class Meta:
        ordering = ["tier", "-number"]
        constraints = [models.UniqueConstraint(name="approvals_tieredition_number_once", fields=["tier", "number"])]
        triggers = [pgtrigger.Protect(name="never_changed", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return f"{self.tier} v{self.number}"
