"""Trouble that a person must look at, grouped so that one cause is one row."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from opsdesk.lib.states import Movable, known_states
from workflows.models.runs import Run
from workflows.states import FAILURE_MOVES, FailureKind, FailureState


class FailureQuerySet(models.QuerySet["Failure"]):
    def visible_to(self, membership: Membership) -> Self:
        """Failures of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)

    def unresolved(self) -> Self:
        """Failures that still need somebody."""
        return self.exclude(state=FailureState.RESOLVED)


class Failure(Movable):
    """One cause: same workflow, step, connection, kind and normalized message."""

    MOVES = FAILURE_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="failures", db_index=False)
    fingerprint = models.CharField(max_length=64)
    workflow = models.CharField(max_length=40)
    step = models.CharField(max_length=40)
    connection = models.CharField(max_length=60, blank=True)
    kind = models.CharField(max_length=16, choices=FailureKind)
    message = models.CharField(max_length=300)
    state = models.CharField(max_length=14, choices=FailureState, default=FailureState.OPEN, editable=False)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    first_at = models.DateTimeField(db_default=Now())
    last_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[FailureQuerySet] = FailureQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-last_at"]
        constraints = [
            known_states("workflows_failure_known_state", FailureState),
            models.UniqueConstraint(
                name="workflows_failure_one_per_fingerprint", fields=["organization", "fingerprint"]
            ),
        ]
        indexes = [
            models.Index(
                name="workflows_failure_unresolved",
                fields=["organization", "-last_at"],
                condition=~Q(state=FailureState.RESOLVED),
            )
        ]

    def __str__(self) -> str:
        return self.message


class FailureItem(models.Model):
    """One run that stopped for this cause."""

    failure = models.ForeignKey(Failure, on_delete=models.PROTECT, related_name="items")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="failure_items")
    detail = models.TextField()
    at = models.DateTimeField(db_default=Now())
    repaired_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                name="workflows_failureitem_one_open_per_run", fields=["run"], condition=Q(repaired_at=None)
            )
        ]

    def __str__(self) -> str:
        return f"{self.run} stopped: {self.failure}"
