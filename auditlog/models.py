"""The audit log: append-only rows about who did what, when and why."""

from typing import ClassVar, Self

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from auditlog.verbs import words


class ActorKind(models.TextChoices):
    PERSON = "person", "person"
    RUN = "run", "workflow"
    TIMER = "timer", "timer"
    OUTSIDE = "outside", "outside system"
    SYSTEM = "system", "desk"


class EntryQuerySet(models.QuerySet["Entry"]):
    def visible_to(self, membership: Membership) -> Self:
        """Entries of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)

    def newest(self) -> Self:
        """For lists: newest first, the wide columns left in the table."""
        return self.order_by("-pk").defer("before", "after").select_related("user")


class Entry(models.Model):
    """One thing that happened. Never changed and never removed: the database refuses both."""

    id = models.BigAutoField(primary_key=True)
    # The database's own instant of the transaction, so that no worker's clock can back-date.
    at = models.DateTimeField(db_default=Now())
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    actor_kind = models.CharField(max_length=8, choices=ActorKind.choices)
    actor = models.CharField(max_length=120, help_text="Name as it was: a person, “refund v3, step decide”, a timer.")
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    verb = models.CharField(max_length=60)
    subject_kind = models.CharField(max_length=30)
    subject_id = models.BigIntegerField()
    case_id = models.BigIntegerField(null=True, help_text="The case it belongs to, for its timeline.")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.TextField()
    request_id = models.CharField(max_length=64)

    objects: ClassVar[models.Manager["Entry"]] = EntryQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "entries"
        indexes = [
            models.Index(name="auditlog_entry_by_organization", fields=["organization", "-id"]),
            models.Index(name="auditlog_entry_by_case", fields=["case_id", "id"], condition=Q(case_id__isnull=False)),
        ]
        constraints = [
            models.CheckConstraint(
                name="auditlog_entry_person_iff_user",
                condition=Q(actor_kind="person", user__isnull=False) | (~Q(actor_kind="person") & Q(user__isnull=True)),
            ),
            models.CheckConstraint(
                name="auditlog_entry_says_who_and_why",
                condition=~Q(actor="") & ~Q(reason="") & ~Q(request_id="") & ~Q(verb=""),
            ),
        ]
        triggers = [
            pgtrigger.Protect(name="append_only_rows", operation=pgtrigger.Update | pgtrigger.Delete),
            pgtrigger.Trigger(
                name="append_only_table",
                operation=pgtrigger.Truncate,
                level=pgtrigger.Statement,
                when=pgtrigger.Before,
                func="RAISE EXCEPTION 'pgtrigger: Cannot truncate the audit log';",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.words} {self.subject_kind} {self.subject_id}"

    @property
    def words(self) -> str:
        """The verb as it reads on screen."""
        return words(self.verb)
