"""One execution of a version for a case, and its attempts at single steps."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Now

from accounts.models import Membership, Organization
from accounts.veils import unveiled
from opsdesk.lib.states import Movable, known_states
from workflows.models.cases import Case
from workflows.models.definitions import Workflow, WorkflowVersion
from workflows.models.recovery import Recovery
from workflows.models.triggers import Trigger
from workflows.states import RUN_ACTIVE, RUN_FINAL, RUN_MOVES, RunState, WaitsFor


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, membership: Membership) -> Self:
        """Runs of the member's own organization, but of veiled cases."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership)

    def active(self) -> Self:
        """Runs that have not ended."""
        return self.filter(state__in=RUN_ACTIVE)

    def with_recovery(self) -> Self:
        """Each with `recovering_since`: since when its organization recovers, and nothing acts."""
        under_way = Recovery.objects.open().filter(organization=OuterRef("organization"))
        return self.annotate(recovering_since=Subquery(under_way.values("begun_at")[:1]))

    def due(self) -> Self:
        """Runs a worker may take now, by the database's clock: most urgent first."""
        at_rest = self.filter(state__in=[RunState.READY, RunState.WAITING], paused_at=None)
        return at_rest.filter(wake_at__lte=Now()).order_by("priority", "wake_at")


class Run(Movable):
    """A case on its way through a version. Waiting always says for what and why; running always has a lease."""

    MOVES = RUN_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="runs", db_index=False)
    version = models.ForeignKey(WorkflowVersion, on_delete=models.PROTECT, related_name="runs")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="runs")
    trigger = models.ForeignKey(
        Trigger, on_delete=models.PROTECT, null=True, related_name="+", db_index=False,
        help_text="What began it; empty where the version's own event type did.",
    )  # fmt: skip
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="children", db_index=False,
        help_text="The run whose step began it.",
    )  # fmt: skip
    state = models.CharField(max_length=10, choices=RunState, default=RunState.READY, editable=False)
    position = models.PositiveSmallIntegerField(default=0, help_text="Index of the step that comes next.")
    kept = models.JSONField(
        default=dict, db_default={}, help_text="What the present step keeps from turn to turn; empty for the next one."
    )
    facts = models.JSONField(default=dict, help_text="Gathered facts: name to value, source and time.")
    priority = models.PositiveSmallIntegerField(default=50, help_text="Smaller is more urgent.")
    wake_at = models.DateTimeField(null=True, db_default=Now(), help_text="When a worker looks at it next.")
    waits_for = models.CharField(max_length=12, blank=True, choices=WaitsFor)
    waits_on = models.CharField(
        max_length=90,
        blank=True,
        db_default="",
        help_text="Which connection it waits for and for what, as connection/operation.",
    )
    reason = models.CharField(max_length=300, blank=True, help_text="Why it waits or failed, in words.")
    waiting_since = models.DateTimeField(null=True)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="Failed tries of the current step.")
    lease_owner = models.CharField(max_length=60, blank=True)
    lease_until = models.DateTimeField(null=True)
    epoch = models.PositiveIntegerField(default=0, help_text="Grows with each lease; an expired worker's is too small.")
    lost_leases = models.PositiveSmallIntegerField(default=0)
    paused_at = models.DateTimeField(null=True, help_text="Set: it keeps its state, and no worker takes it.")
    paused_why = models.CharField(
        max_length=300, blank=True, db_default="", help_text="Who paused it and why, in words."
    )
    concurrency_key = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="Of the runs of a workflow with the same key one goes on at a time; empty: it asks nobody.",
    )
    in_turn = models.BooleanField(default=False, db_default=False, help_text="It has the turn of its key.")
    skipped = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        help_text="Steps that people left out: step, by and reason of each.",
    )
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    # Only known of runs that were asked for `with_recovery`.
    recovering_since: datetime | None = None

    objects: ClassVar[RunQuerySet] = RunQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("workflows_run_known_state", RunState),
            models.UniqueConstraint(
                name="workflows_run_one_active_per_case",
                fields=["case", "workflow"],
                condition=Q(state__in=sorted(RUN_ACTIVE)),
            ),
            models.CheckConstraint(
                name="workflows_run_waiting_says_why",
                condition=~Q(state=RunState.WAITING) | (~Q(waits_for="") & ~Q(reason="")),
            ),
            models.CheckConstraint(
                name="workflows_run_running_has_lease",
                condition=Q(state=RunState.RUNNING, lease_until__isnull=False)
                | (~Q(state=RunState.RUNNING) & Q(lease_until=None)),
            ),
            models.CheckConstraint(
                name="workflows_run_ready_is_due",
                condition=~Q(state=RunState.READY) | Q(wake_at__isnull=False),
            ),
            models.CheckConstraint(
                name="workflows_run_ended_at_iff_final",
                condition=Q(state__in=sorted(RUN_FINAL), ended_at__isnull=False)
                | (~Q(state__in=sorted(RUN_FINAL)) & Q(ended_at=None)),
            ),
            models.CheckConstraint(
                name="workflows_run_paused_at_rest_with_reason",
                condition=Q(paused_at=None, paused_why="")
                | (Q(paused_at__isnull=False, state__in=[RunState.READY, RunState.WAITING]) & ~Q(paused_why="")),
            ),
            models.UniqueConstraint(
                name="workflows_run_one_in_turn_per_key",
                fields=["workflow", "concurrency_key"],
                condition=Q(in_turn=True, state__in=sorted(RUN_ACTIVE)) & ~Q(concurrency_key=""),
            ),
        ]
        indexes = [
            models.Index(
                name="workflows_run_due_by_age",
                fields=["wake_at"],
                condition=Q(state__in=[RunState.READY, RunState.WAITING], wake_at__isnull=False, paused_at=None),
            ),
            models.Index(
                name="workflows_run_by_key",
                fields=["workflow", "concurrency_key", "-id"],
                condition=~Q(concurrency_key=""),
            ),
            models.Index(
                name="workflows_run_due",
                fields=["priority", "wake_at"],
                condition=Q(state__in=[RunState.READY, RunState.WAITING], wake_at__isnull=False, paused_at=None),
            ),
            models.Index(name="workflows_run_leased", fields=["lease_until"], condition=Q(state=RunState.RUNNING)),
            # Those that did not simply end well, newest first.
            models.Index(
                name="workflows_run_by_state",
                fields=["organization", "state", "-id"],
                condition=~Q(state=RunState.SUCCEEDED),
            ),
            # Waiting for people is what most waiting runs do; these wait for something else.
            models.Index(
                name="workflows_run_tried_again",
                fields=["organization", "waiting_since"],
                condition=Q(state=RunState.WAITING, waits_for__in=[WaitsFor.RETRY, WaitsFor.CONNECTION]),
            ),
            models.Index(name="workflows_run_list", fields=["organization", "-id"]),
            models.Index(name="workflows_run_paused", fields=["paused_at"], condition=Q(paused_at__isnull=False)),
            models.Index(name="workflows_run_begun_by", fields=["trigger", "-id"], condition=~Q(trigger=None)),
            models.Index(name="workflows_run_children", fields=["parent"], condition=~Q(parent=None)),
            models.Index(
                name="workflows_run_waits_on",
                fields=["organization", "waits_on", "priority"],
                condition=Q(state=RunState.WAITING) & ~Q(waits_on=""),
            ),
            models.Index(
                name="workflows_run_waiting",
                fields=["organization", "waiting_since"],
                condition=Q(state=RunState.WAITING),
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"

    @property
    def acts(self) -> bool:
        """Whether only the answer to an action wakes it; one whose action is held waits for the connection."""
        return self.waits_for == WaitsFor.ACTION or (self.waits_for == WaitsFor.CONNECTION and self.wake_at is None)


class StepRun(models.Model):
    """One attempt at one step; only ever added."""

    class Outcome(models.TextChoices):
        DONE = "done", "done"
        WAITING = "waiting", "waiting"
        FAILED = "failed", "failed"
        FINISHED = "finished", "finished the case"
        SKIPPED = "skipped", "skipped"

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="steps")
    position = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=40)
    kind = models.CharField(max_length=20)
    outcome = models.CharField(max_length=10, choices=Outcome)
    note = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.key}: {self.outcome}"
