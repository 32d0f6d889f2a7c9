"""Lists that people take away as files: what was asked for, how far it is, and the file itself in parts."""

from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from opsdesk.lib.states import Movable, known_states, only_listed_moves
from opsdesk.states import EXPORT_MOVES, ExportState


class ExportQuerySet(models.QuerySet["Export"]):
    def visible_to(self, membership: Membership) -> Self:
        """One's own, in this organization: what others took away is told by the audit log."""
        return self.filter(organization_id=membership.organization_id, by_id=membership.user_id)


class Export(Movable):
    """One list with its filters, written row by row in one person's name and with that person's rights."""

    MOVES = EXPORT_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    page = models.CharField(max_length=20, help_text="Key of the list page, as in opsdesk/lists.")
    query = models.CharField(max_length=600, blank=True, help_text="The filters, as the address of the page has them.")
    columns = ArrayField(models.CharField(max_length=20), help_text="Keys of the columns, in their order.")
    with_mark = models.BooleanField(help_text="Whether the file begins with the mark by which Excel knows UTF-8.")
    state = models.CharField(max_length=10, choices=ExportState, default=ExportState.RUNNING, editable=False)
    total = models.PositiveIntegerField(null=True, help_text="Rows there were when it began; empty: not counted yet.")
    rows = models.PositiveIntegerField(default=0, help_text="Rows written so far.")
    size = models.BigIntegerField(default=0, help_text="Bytes of the file so far.")
    next_before = models.BigIntegerField(null=True, help_text="Key before which the next part begins.")
    tries = models.PositiveSmallIntegerField(default=0, help_text="Jobs lost in a row.")
    touched_at = models.DateTimeField(db_default=Now(), help_text="When a job last worked on it or was asked to.")
    asked_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(help_text="When the file is removed.")
    note = models.CharField(max_length=300, blank=True, help_text="Why it was given up, in words.")

    objects: ClassVar[ExportQuerySet] = ExportQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("opsdesk_export_known_state", ExportState),
            models.CheckConstraint(
                name="opsdesk_export_ended_at_unless_running",
                condition=Q(state=ExportState.RUNNING, ended_at=None)
                | (~Q(state=ExportState.RUNNING) & Q(ended_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="opsdesk_export_given_up_with_reason", condition=~Q(state=ExportState.FAILED) | ~Q(note="")
            ),
        ]
        indexes = [
            models.Index(name="opsdesk_export_list", fields=["organization", "by", "-id"]),
            models.Index(
                name="opsdesk_export_to_remove", fields=["expires_at"], condition=~Q(state=ExportState.EXPIRED)
            ),
        ]
        triggers = [only_listed_moves(EXPORT_MOVES)]

    def __str__(self) -> str:
        return f"export {self.pk}"


class ExportPart(models.Model):
    """Some lines of the file, compressed by zlib. In the database, so that every machine can serve it."""

    # A removed export keeps its row; its parts go.
    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="parts", db_index=False)
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        ordering = ["export", "number"]
        constraints = [models.UniqueConstraint(name="opsdesk_exportpart_once", fields=["export", "number"])]

    def __str__(self) -> str:
        return f"part {self.number} of {self.export}"
