"""One operation on many things at once: what was chosen, how far it is, and what came of each."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from opsdesk.lib.states import Movable, known_states
from workflows.states import BULK_FINAL, BULK_MOVES, BulkState


class BulkQuerySet(models.QuerySet["Bulk"]):
    def visible_to(self, membership: Membership) -> Self:
        """Bulks of the member's own organization; a preview is for who made it."""
        mine = self.filter(organization_id=membership.organization_id)
        return mine.filter(~Q(state=BulkState.PREVIEW) | Q(by=membership.user_id))


class Bulk(Movable):
    """One operation for many subjects in one person's name. Its items say what came of each."""

    MOVES = BULK_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=40, help_text="Name of the registered operation.")
    selection = models.JSONField(help_text="What was chosen: the query of a list, or that rows were ticked.")
    parameters = models.JSONField(default=dict, help_text="What the operation was told beside the reason.")
    reason = models.CharField(max_length=300, blank=True)
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=BulkState, default=BulkState.PREVIEW, editable=False)
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    note = models.CharField(max_length=300, blank=True, help_text="Why it stopped before its end, in words.")
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    looked_at = models.DateTimeField(null=True, help_text="When a job last worked on it or was asked to.")

    objects: ClassVar[BulkQuerySet] = BulkQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("workflows_bulk_known_state", BulkState),
            models.CheckConstraint(
                name="workflows_bulk_ended_at_iff_final",
                condition=Q(state__in=sorted(BULK_FINAL), ended_at__isnull=False)
                | (~Q(state__in=sorted(BULK_FINAL)) & Q(ended_at=None)),
            ),
            models.CheckConstraint(
                name="workflows_bulk_started_with_reason",
                condition=Q(started_at=None) | ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="workflows_bulk_under_way_was_started",
                condition=~Q(state__in=[BulkState.RUNNING, BulkState.PAUSED, BulkState.DONE])
                | Q(started_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="workflows_bulk_list", fields=["organization", "-id"]),
            models.Index(name="workflows_bulk_running", fields=["looked_at"], condition=Q(state=BulkState.RUNNING)),
        ]

    def __str__(self) -> str:
        return f"bulk {self.pk}"

    @property
    def settled(self) -> int:
        """How many of its items have a result."""
        return self.done + self.refused + self.failed

    @property
    def left(self) -> int:
        """How many have none yet."""
        return max(self.total - self.settled, 0)


class BulkItem(models.Model):
    """One subject of a bulk, and what came of it; the result is written once, with the work itself."""

    class Result(models.TextChoices):
        DUE = "due", "due"
        DONE = "done", "done"
        REFUSED = "refused", "refused"
        FAILED = "failed", "failed"

    # A preview that nobody started is thrown away whole; a started bulk is kept.
    bulk = models.ForeignKey(Bulk, on_delete=models.CASCADE, related_name="items", db_index=False)
    subject_id = models.BigIntegerField(help_text="Key of the run, or whatever else the operation works on.")
    label = models.CharField(max_length=60)
    stamp = models.CharField(
        max_length=64, blank=True, db_default="", help_text="What it was when it was chosen, where that matters."
    )
    result = models.CharField(max_length=8, choices=Result, default=Result.DUE)
    sentence = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(name="workflows_bulkitem_once", fields=["bulk", "subject_id"]),
            models.CheckConstraint(
                name="workflows_bulkitem_result_with_sentence",
                condition=Q(result="due", at=None, sentence="")
                | (Q(result__in=["done", "refused", "failed"], at__isnull=False) & ~Q(sentence="")),
            ),
        ]
        indexes = [models.Index(name="workflows_bulkitem_by_result", fields=["bulk", "result", "id"])]

    def __str__(self) -> str:
        return f"{self.label}: {self.result}"
