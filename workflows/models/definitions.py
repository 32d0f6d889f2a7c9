"""Workflows, their frozen versions, and the steps in them."""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Organization, User
from opsdesk.lib.states import Movable, known_states
from workflows.models.freezing import frozen_with_its_version
from workflows.states import VERSION_MOVES, Match, VersionState


class Workflow(models.Model):
    """A named process of one organization."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="workflows")
    slug = models.SlugField(max_length=40)
    name = models.CharField(max_length=80)
    enabled = models.BooleanField(
        default=True,
        help_text="The workflow's kill switch: off means new events wait and nothing is sent outside.",
    )

    class Meta:
        ordering = ["organization", "name"]
        constraints = [models.UniqueConstraint(name="workflows_workflow_slug_once", fields=["organization", "slug"])]

    def __str__(self) -> str:
        return self.name


class WorkflowVersion(Movable):
    """One edition of a workflow: a draft can be edited, a published one is frozen, its runs keep it."""

    MOVES = VERSION_MOVES

    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=VersionState, default=VersionState.DRAFT, editable=False)
    case_kind = models.SlugField(max_length=30, help_text="What is worked on, such as refund.")
    opened_by = models.CharField(
        max_length=60,
        blank=True,
        help_text="Event type that opens a case, such as refund.requested; empty where only triggers do.",
    )
    withdrawn_by = models.CharField(max_length=60, blank=True, help_text="Event type that withdraws an open case.")
    fields = models.JSONField(
        default=dict,
        help_text="Which field of the event is the case's key, amount, currency, target, party and moment.",
    )
    priority = models.PositiveSmallIntegerField(
        default=50,
        db_default=50,
        help_text="How urgent its runs are when they begin, 1 to 100: smaller is taken first.",
    )
    concurrency = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="Fields of a case whose values together let one run go on at a time, such as party; the others wait.",
    )
    debounce_seconds = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Openings with the same of these fields within so many seconds are one run; 0: each is its own.",
    )
    drafted_at = models.DateTimeField(db_default=Now(), editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    published_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, editable=False, related_name="+")
    edited_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, editable=False, related_name="+",
        help_text="Who changed it last; empty where the desk itself filled it.",
    )  # fmt: skip

    class Meta:
        ordering = ["workflow", "-number"]
        constraints = [
            known_states("workflows_version_known_state", VersionState),
            models.UniqueConstraint(name="workflows_version_number_once", fields=["workflow", "number"]),
            models.UniqueConstraint(
                name="workflows_version_one_published",
                fields=["workflow"],
                condition=Q(state=VersionState.PUBLISHED),
            ),
            models.CheckConstraint(
                name="workflows_version_known_priority", condition=Q(priority__gte=1, priority__lte=100)
            ),
            models.CheckConstraint(
                name="workflows_version_published_at_unless_draft",
                condition=Q(state=VersionState.DRAFT, published_at=None)
                | (~Q(state=VersionState.DRAFT) & Q(published_at__isnull=False)),
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="published_is_frozen",
                operation=pgtrigger.UpdateOf(
                    "number",
                    "case_kind",
                    "opened_by",
                    "withdrawn_by",
                    "fields",
                    "priority",
                    "concurrency",
                    "debounce_seconds",
                ),
                condition=pgtrigger.Q(old__state__in=[VersionState.PUBLISHED, VersionState.RETIRED]),
            )
        ]

    def __str__(self) -> str:
        return f"{self.workflow.slug} v{self.number}"


class Step(models.Model):
    """One stage of a version, in order; its kind decides what `config` may hold, and `when` leaves it out."""

    version = models.ForeignKey(WorkflowVersion, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    key = models.SlugField(max_length=40)
    kind = models.CharField(max_length=20)
    config = models.JSONField(default=dict, blank=True)
    when = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="The step is done only when these conditions hold: list of {fact, operator, value}. None: always.",
    )
    match = models.CharField(max_length=3, choices=Match.choices, default=Match.ALL, db_default=Match.ALL)

    class Meta:
        ordering = ["version", "position"]
        constraints = [
            models.CheckConstraint(name="workflows_step_known_match", condition=Q(match__in=Match.values)),
            models.UniqueConstraint(name="workflows_step_position_once", fields=["version", "position"]),
            models.UniqueConstraint(name="workflows_step_key_once", fields=["version", "key"]),
        ]
        triggers = [frozen_with_its_version("a step")]

    def __str__(self) -> str:
        return f"{self.version}, {self.key}"
