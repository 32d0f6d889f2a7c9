"""What concerns the processes of the desk and belongs to no organization."""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now


class HeartbeatKind(models.TextChoices):
    WEB = "web", "web process"
    WORKER = "worker", "worker"
    BEAT = "beat", "beat"
    JOBS = "jobs", "jobs process"
    TASK = "task", "periodic task"
    WATCHDOG = "watchdog", "watchdog"


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def running(self) -> Self:
        """Processes that have not said that they end."""
        return self.filter(ended_at=None)

    def of(self, *kinds: str) -> Self:
        """Rows of these kinds."""
        return self.filter(kind__in=kinds)


class Heartbeat(models.Model):
    """When a process, or a periodic task, was last seen at work, by the database's clock.

    Nobody owns these rows: they hold names of hosts and queues, and no page of an organization lists them.
    """

    kind = models.CharField(max_length=10, choices=HeartbeatKind)
    name = models.CharField(max_length=120, help_text="Host, process id and a random mark; or the name of a task.")
    host = models.CharField(max_length=80, blank=True)
    queues = models.JSONField(default=list, help_text="The queues a worker or jobs process takes from.")
    started_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    host_clock = models.DateTimeField(null=True, help_text="What the host's own clock said at that moment.")
    ended_at = models.DateTimeField(null=True, help_text="When it ended because it was asked to.")

    objects: ClassVar[HeartbeatQuerySet] = HeartbeatQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["kind", "name"]
        constraints = [
            models.UniqueConstraint(name="opsdesk_heartbeat_one_per_name", fields=["kind", "name"]),
            models.CheckConstraint(
                name="opsdesk_heartbeat_known_kind", condition=models.Q(kind__in=HeartbeatKind.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}"

    def silent_for(self, now: datetime) -> timedelta:
        """How long it has not been seen."""
        return now - self.last_seen_at


class Refusals(models.Model):
    """How many requests of a kind all web processes together turned away because there was no room for them.

    Nobody owns these rows: what was turned away was not looked at.
    """

    kind = models.CharField(max_length=10, unique=True, help_text="As in opsdesk/admission.py.")
    total = models.BigIntegerField(db_default=0, help_text="Since the desk exists.")
    last_at = models.DateTimeField(db_default=Now(), help_text="When the total last grew.")

    class Meta:
        ordering = ["kind"]
        verbose_name_plural = "refusals"

    def __str__(self) -> str:
        return f"{self.total} {self.kind}"


class ReversalDrill(models.Model):
    """One time that everything which is declared to be taken back was taken back in the sandbox.

    Nobody owns these rows: connectors are the same for every organization.
    """

    begun_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, help_text="Empty: it runs, or its process died.")
    tried = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0, help_text="How many did not work.")
    milliseconds = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="opsdesk_drill_failed_among_tried", condition=models.Q(failed__lte=models.F("tried"))
            )
        ]

    def __str__(self) -> str:
        return f"drill {self.pk}"


class DrillResult(models.Model):
    """What came of one operation in one drill."""

    drill = models.ForeignKey(ReversalDrill, on_delete=models.CASCADE, related_name="results")
    connector = models.CharField(max_length=40)
    operation = models.CharField(max_length=40)
    works = models.BooleanField()
    words = models.CharField(max_length=300)
    calls = models.PositiveIntegerField(default=0)
    milliseconds = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["connector", "operation"]
        constraints = [
            models.UniqueConstraint(name="opsdesk_drillresult_once", fields=["drill", "connector", "operation"])
        ]

    def __str__(self) -> str:
        return f"{self.connector} {self.operation}"
