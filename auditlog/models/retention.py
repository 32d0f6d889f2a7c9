"""What may be removed or erased of the log, and what is kept of it."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Organization
from auditlog.models.entries import append_only


class Erasure(models.Model):
    """What is kept of erased texts of an entry so that its seal still verifies: their hashes, and not their keys.

    Written by the database's function `auditlog_erase` only, together with the erasing.
    """

    entry_id = models.BigIntegerField(primary_key=True)
    hashes = models.JSONField(help_text="Of each erased field the hash that was sealed.")
    keys = models.JSONField(help_text="Of every other field the key it was hashed under; the salt is gone.")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        triggers = append_only("the record of what was erased", removable=True)

    def __str__(self) -> str:
        return f"erasure in entry {self.entry_id}"


class RetentionPolicy(models.Model):
    """For how long an organization keeps one kind of record."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=30)
    days = models.PositiveIntegerField(help_text="What is older is removed for good, unless a legal hold keeps it.")
    enabled = models.BooleanField(default=True, help_text="Off: nothing of this kind is removed.")

    class Meta:
        ordering = ["organization", "kind"]
        verbose_name_plural = "retention policies"
        constraints = [
            models.UniqueConstraint(name="auditlog_policy_once_per_kind", fields=["organization", "kind"]),
            models.CheckConstraint(name="auditlog_policy_keeps_a_month", condition=Q(days__gte=30)),
        ]

    def __str__(self) -> str:
        return f"{self.kind}, {self.days} days"


class LegalHold(models.Model):
    """Nothing of a case, or of any case of a customer, is removed while this stands."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    case_id = models.BigIntegerField("case", null=True, blank=True, help_text="Number of the case, without CASE-.")
    party = models.CharField(
        "customer", max_length=100, blank=True, help_text="Customer number: holds all of the customer's cases."
    )
    lifted = models.BooleanField(default=False, help_text="Ticked: it holds nothing any more.")
    set_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="auditlog_hold_names_a_case_or_a_customer",
                condition=Q(case_id__isnull=False, party="") | (Q(case_id=None) & ~Q(party="")),
                violation_error_message="Name a case or a customer, one of the two.",
            )
        ]

    def __str__(self) -> str:
        # Kept where erasing does not reach: so without the customer's number.
        return f"CASE-{self.case_id}" if self.case_id else f"hold {self.pk} over a customer"


class Removal(models.Model):
    """What retention took out from below one seal; the tombstone, an entry, says the same under its own seal."""

    seal_number = models.BigIntegerField(db_index=True)
    keys = ArrayField(models.BigIntegerField())
    digest = models.CharField(max_length=64, help_text="The hash over the hashes of what was removed.")
    tombstone_id = models.BigIntegerField()
    of_changes = models.BooleanField(default=False, db_default=False, help_text="The seal is one over changes.")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]
        triggers = append_only("the record of what was removed")

    def __str__(self) -> str:
        return f"{len(self.keys)} rows of seal {self.seal_number}"
