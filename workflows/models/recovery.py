"""The mark by which a restored database is noticed, and the recoveries during which nothing is sent."""

import uuid
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from opsdesk.lib.states import Movable, known_states
from workflows.states import RECOVERY_MOVES, RecoveryCause, RecoveryState


class Tide(models.Model):
    """One row whose number only rises, copied outside the database: a database that was put back has a smaller one."""

    desk = models.UUIDField(default=uuid.uuid4, editable=False, help_text="Tells this database's copies from others.")
    number = models.BigIntegerField(default=0)
    moved_at = models.DateTimeField(db_default=Now())
    system = models.BigIntegerField(null=True, help_text="Identifier of the PostgreSQL cluster, where it is told.")
    timeline = models.BigIntegerField(null=True, help_text="Its timeline: it changes with a failover or a restore.")

    class Meta:
        constraints = [models.CheckConstraint(name="workflows_tide_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"tide {self.number}"


class RecoveryQuerySet(models.QuerySet["Recovery"]):
    def visible_to(self, membership: Membership) -> Self:
        """Recoveries of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)

    def open(self) -> Self:
        """Those under way: at most one an organization."""
        return self.filter(state=RecoveryState.RECOVERING)


class Recovery(Movable):
    """The time between a restore and the signature under its reconciliation: the organization sends nothing."""

    MOVES = RECOVERY_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="recoveries", db_index=False)
    state = models.CharField(max_length=10, choices=RecoveryState, default=RecoveryState.RECOVERING, editable=False)
    cause = models.CharField(max_length=10, choices=RecoveryCause)
    reason = models.CharField(max_length=500, help_text="What was seen or said, in sentences.")
    since = models.DateTimeField(help_text="From here on the outside may know more than the database.")
    signatures_needed = models.PositiveSmallIntegerField(default=1)
    begun_at = models.DateTimeField(db_default=Now())
    begun_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[RecoveryQuerySet] = RecoveryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "recoveries"
        constraints = [
            known_states("workflows_recovery_known_state", RecoveryState),
            models.CheckConstraint(
                name="workflows_recovery_known_cause", condition=Q(cause__in=sorted(RecoveryCause.values))
            ),
            models.UniqueConstraint(
                name="workflows_recovery_one_open_per_organization",
                fields=["organization"],
                condition=Q(state=RecoveryState.RECOVERING),
            ),
            models.CheckConstraint(
                name="workflows_recovery_ended_at_iff_ended",
                condition=Q(state=RecoveryState.ENDED, ended_at__isnull=False)
                | (~Q(state=RecoveryState.ENDED) & Q(ended_at=None)),
            ),
            models.CheckConstraint(
                name="workflows_recovery_one_or_two_sign", condition=Q(signatures_needed__in=[1, 2])
            ),
        ]
        indexes = [models.Index(name="workflows_recovery_list", fields=["organization", "-id"])]

    def __str__(self) -> str:
        return f"recovery {self.pk}"


class RecoverySignature(models.Model):
    """A person who read what the reconciliation found, and lets the desk act again."""

    recovery = models.ForeignKey(Recovery, on_delete=models.PROTECT, related_name="signatures", db_index=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False)
    reason = models.CharField(max_length=300)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(name="workflows_recoverysignature_once", fields=["recovery", "user"]),
            models.CheckConstraint(name="workflows_recoverysignature_says_why", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"{self.user} under {self.recovery}"
