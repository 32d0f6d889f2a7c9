"""How much may go out over a connection at once, a second, and again; and when nothing may."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Membership, User
from integrations.models.connections import Connection


class Throttle(models.Model):
    """What of a connection's limits is used up: taken under the row's lock, counted by the database's clock."""

    connection = models.OneToOneField(Connection, on_delete=models.PROTECT, related_name="throttle")
    tokens = models.DecimalField(
        max_digits=12,
        decimal_places=3,
        null=True,
        help_text="Calls that may go out now; below zero after tries that took several calls. Empty: all of them.",
    )
    filled_at = models.DateTimeField(db_default=Now())
    # Retries in a sliding window: those of the running stretch of time, and of the one before it.
    retries = models.PositiveIntegerField(default=0)
    retries_before = models.PositiveIntegerField(default=0)
    stretch_at = models.DateTimeField(db_default=Now(), help_text="When the running stretch began.")

    objects: ClassVar[models.Manager["Throttle"]] = models.Manager()

    class Meta:
        ordering = ["connection"]

    def __str__(self) -> str:
        return f"throttle of {self.connection_id}"


class Permit(models.Model):
    """One try under way over a connection that has a limit; it ends with its try, or when its worker is gone."""

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="permits")
    until = models.DateTimeField()

    objects: ClassVar[models.Manager["Permit"]] = models.Manager()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"permit until {self.until}"


class WindowQuerySet(models.QuerySet["MaintenanceWindow"]):
    def visible_to(self, membership: Membership) -> Self:
        """Windows of the connections of the member's own organization."""
        return self.filter(connection__organization_id=membership.organization_id)

    def open_now(self) -> Self:
        """Windows in which work is held at this moment, by the database's clock."""
        return self.filter(starts_at__lte=Now(), ends_at__gt=Now(), ended_at=None)

    def to_come(self) -> Self:
        """Windows that are open, or will be."""
        return self.filter(ends_at__gt=Now(), ended_at=None)


class MaintenanceWindow(models.Model):
    """A stretch of time in which an outside system is being worked on: what is due waits instead of failing."""

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="windows")
    starts_at = models.DateTimeField(help_text="From then on nothing is sent or read, in the time zone shown above.")
    ends_at = models.DateTimeField(help_text="From then on everything that waited goes out by itself.")
    reason = models.CharField(max_length=200, help_text="Shown wherever work waits for it.")
    ended_at = models.DateTimeField(null=True, editable=False, help_text="Ended early by a person.")

    objects: ClassVar[WindowQuerySet] = WindowQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["starts_at"]
        constraints = [
            models.CheckConstraint(
                name="integrations_window_ends_after_it_starts", condition=Q(ends_at__gt=F("starts_at"))
            ),
            models.CheckConstraint(name="integrations_window_says_why", condition=~Q(reason="")),
        ]
        indexes = [
            models.Index(name="integrations_window_to_come", fields=["ends_at"], condition=Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"maintenance of {self.connection}"


class OperationSwitchQuerySet(models.QuerySet["OperationSwitch"]):
    def visible_to(self, membership: Membership) -> Self:
        """Switches of the connections of the member's own organization."""
        return self.filter(connection__organization_id=membership.organization_id)


class OperationSwitch(models.Model):
    """The kill switch of one operation of a connection. The row is the switch: while it is there, nothing is sent."""

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="switches", db_index=False)
    operation = models.CharField(max_length=40)
    reason = models.CharField(max_length=200)
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(db_default=Now())

    objects: ClassVar[OperationSwitchQuerySet] = OperationSwitchQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["connection", "operation"]
        constraints = [
            models.UniqueConstraint(name="integrations_operationswitch_once", fields=["connection", "operation"]),
            models.CheckConstraint(name="integrations_operationswitch_says_why", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"{self.connection.slug}/{self.operation} is off"
