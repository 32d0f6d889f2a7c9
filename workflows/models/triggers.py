"""What begins a run by itself: triggers as rows of a version, and what they have seen so far."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from workflows.models.definitions import Workflow, WorkflowVersion
from workflows.models.freezing import frozen_with_its_version


class Trigger(models.Model):
    """One way in which a version's runs begin; its kind decides what `config` may hold."""

    class Kind(models.TextChoices):
        EVENT = "event", "an event"
        FORM = "form", "a form"
        CHANGE = "change", "a changed record"
        SCHEDULE = "schedule", "a schedule"
        AGE = "age", "an item that stands too long"
        WORKFLOW = "workflow", "another workflow"

    version = models.ForeignKey(WorkflowVersion, on_delete=models.CASCADE, related_name="triggers")
    position = models.PositiveSmallIntegerField()
    key = models.SlugField(max_length=40, help_text="Stays the same over versions: by it the trigger is known.")
    kind = models.CharField(max_length=10, choices=Kind)
    config = models.JSONField(default=dict, blank=True)

    objects: ClassVar[models.Manager["Trigger"]] = models.Manager()

    class Meta:
        ordering = ["version", "position"]
        constraints = [
            models.UniqueConstraint(name="workflows_trigger_position_once", fields=["version", "position"]),
            models.UniqueConstraint(name="workflows_trigger_key_once", fields=["version", "key"]),
            models.CheckConstraint(
                name="workflows_trigger_known_kind",
                condition=Q(kind__in=["event", "form", "change", "schedule", "age", "workflow"]),
            ),
        ]
        triggers = [frozen_with_its_version("a trigger")]

    def __str__(self) -> str:
        return f"{self.version}, {self.key}"


class Pulse(models.Model):
    """When a trigger that nobody pulls is looked at next, and when it last fired. It outlives the versions."""

    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="pulses", db_index=False)
    key = models.SlugField(max_length=40)
    trigger = models.ForeignKey(
        Trigger, on_delete=models.PROTECT, related_name="+", help_text="The row of the version in force."
    )
    next_at = models.DateTimeField(help_text="A schedule's next slot; for the others, when rows are looked at again.")
    looked_at = models.DateTimeField(null=True)
    fired_at = models.DateTimeField(null=True)
    trouble = models.CharField(max_length=300, blank=True, help_text="Why the last look came to nothing.")

    objects: ClassVar[models.Manager["Pulse"]] = models.Manager()

    class Meta:
        ordering = ["workflow", "key"]
        constraints = [models.UniqueConstraint(name="workflows_pulse_one_per_trigger", fields=["workflow", "key"])]
        indexes = [models.Index(name="workflows_pulse_due", fields=["next_at"])]

    def __str__(self) -> str:
        return f"{self.workflow}, {self.key}"


class Sighting(models.Model):
    """What a trigger has seen of one record, so that it fires once a crossing and once a stay."""

    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="+", db_index=False)
    key = models.SlugField(max_length=40)
    record = models.BigIntegerField(help_text="Primary key of the record that is watched.")
    beyond = models.BooleanField(default=True, help_text="Whether its value was beyond the limit at the last look.")
    since = models.DateTimeField(null=True, help_text="Since when the item stands where it fired last.")
    times = models.PositiveIntegerField(default=0, help_text="How often it fired.")

    objects: ClassVar[models.Manager["Sighting"]] = models.Manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(name="workflows_sighting_one_per_record", fields=["workflow", "key", "record"])
        ]

    def __str__(self) -> str:
        return f"{self.key} saw {self.record}"
