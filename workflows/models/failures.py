"""Trouble that a person must look at, grouped so that one cause is one row."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from opsdesk.lib.states import Movable, known_states
from workflows.models.runs import Run
from workflows.states import FAILURE_MOVES, REPLAY_MOVES, FailureKind, FailureState, ReplayState


class FailureQuerySet(models.QuerySet["Failure"]):
    def visible_to(self, membership: Membership) -> Self:
        """Failures of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)

    def unresolved(self) -> Self:
        """Failures that stop something, or did and were not closed."""
        return self.exclude(state=FailureState.RESOLVED)

    def ignored(self) -> Self:
        """Unresolved failures that somebody wants to hear nothing of for some time yet."""
        return self.unresolved().filter(ignored_until__gt=Now())

    def pressing(self) -> Self:
        """Failures that need somebody now."""
        return self.unresolved().exclude(ignored_until__gt=Now())


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
    ignored_until = models.DateTimeField(null=True, help_text="Until then it is neither counted nor listed as open.")
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
            models.CheckConstraint(
                name="workflows_failure_resolved_is_not_ignored",
                condition=Q(ignored_until=None) | ~Q(state=FailureState.RESOLVED),
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


class ReplayQuerySet(models.QuerySet["Replay"]):
    def visible_to(self, membership: Membership) -> Self:
        """Replays of the failures of the member's own organization."""
        return self.filter(failure__organization_id=membership.organization_id)

    def running(self) -> Self:
        """Those that have more to try, or wait for what came of the last."""
        return self.filter(state=ReplayState.RUNNING)


class Replay(Movable):
    """Some runs of a failure tried again, one after the other, until the first fails again."""

    MOVES = REPLAY_MOVES

    failure = models.ForeignKey(Failure, on_delete=models.PROTECT, related_name="replays")
    state = models.CharField(max_length=8, choices=ReplayState, default=ReplayState.RUNNING, editable=False)
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False)
    reason = models.CharField(max_length=300)
    wanted = models.PositiveIntegerField(help_text="How many runs were to be tried.")
    corrected = models.CharField(max_length=40, blank=True, help_text="The field of the request that is corrected.")
    value = models.CharField(max_length=200, blank=True, help_text="Its right value.")
    last_item = models.BigIntegerField(help_text="The newest item that belongs to it.")
    after_item = models.BigIntegerField(default=0, help_text="The item that was tried last.")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    position = models.PositiveSmallIntegerField(default=0, help_text="The step at which that run had failed.")
    passed = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0, help_text="Runs that could not be tried again.")
    note = models.CharField(max_length=300, blank=True, help_text="Why it stopped, or why the last one was refused.")
    begun_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[ReplayQuerySet] = ReplayQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("workflows_replay_known_state", ReplayState),
            models.UniqueConstraint(
                name="workflows_replay_one_under_way", fields=["failure"], condition=Q(state=ReplayState.RUNNING)
            ),
            models.CheckConstraint(
                name="workflows_replay_ended_at_iff_ended",
                condition=Q(state=ReplayState.RUNNING, ended_at=None)
                | (~Q(state=ReplayState.RUNNING) & Q(ended_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="workflows_replay_value_with_its_field",
                condition=Q(corrected="", value="") | (~Q(corrected="") & ~Q(value="")),
            ),
        ]
        indexes = [models.Index(name="workflows_replay_running", fields=["id"], condition=Q(state=ReplayState.RUNNING))]

    def __str__(self) -> str:
        return f"replay {self.pk}"
