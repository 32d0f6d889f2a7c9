"""Comparing what a gateway did with what the desk has, and every difference that was found."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from accounts.veils import unveiled
from integrations.models.connections import Connection
from integrations.models.mirrors import Payment
from integrations.states import BREAK_MOVES, RECONCILIATION_MOVES, BreakKind, BreakState, ReconciliationState, Remedy
from opsdesk.lib.money import Money
from opsdesk.lib.states import Movable, known_states
from workflows.models import Case, Recovery

_UNDER_WAY = [ReconciliationState.DUE, ReconciliationState.RUNNING]


class ReconciliationQuerySet(models.QuerySet["Reconciliation"]):
    def visible_to(self, membership: Membership) -> Self:
        """Reconciliations of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)

    def under_way(self) -> Self:
        """Those that have no result yet."""
        return self.filter(state__in=_UNDER_WAY)


class Reconciliation(Movable):
    """One comparison of a gateway with the desk, over everything the gateway did since a moment."""

    MOVES = RECONCILIATION_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="reconciliations", db_index=False)
    recovery = models.ForeignKey(
        Recovery,
        on_delete=models.PROTECT,
        null=True,
        related_name="reconciliations",
        help_text="The one it is part of.",
    )
    state = models.CharField(
        max_length=10, choices=ReconciliationState, default=ReconciliationState.DUE, editable=False
    )
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    since = models.DateTimeField(help_text="Everything from here on was listed.")
    asked_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(null=True, db_default=Now())
    lease_until = models.DateTimeField(null=True)
    epoch = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    listed = models.PositiveIntegerField(default=0, help_text="Refunds that the gateway listed.")
    compared = models.PositiveIntegerField(default=0, help_text="Refunds that both sides have.")
    recorded = models.PositiveIntegerField(default=0, help_text="Effects of ours that were recorded as they are.")
    found = models.PositiveIntegerField(default=0, help_text="Differences that stood when it ended.")
    message = models.CharField(max_length=300, blank=True, help_text="Why it could not be read.")
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[ReconciliationQuerySet] = ReconciliationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("integrations_reconciliation_known_state", ReconciliationState),
            models.UniqueConstraint(
                name="integrations_reconciliation_one_under_way",
                fields=["connection"],
                condition=Q(state__in=_UNDER_WAY),
            ),
            models.CheckConstraint(
                name="integrations_reconciliation_ended_at_iff_ended",
                condition=Q(state__in=_UNDER_WAY, ended_at=None)
                | (~Q(state__in=_UNDER_WAY) & Q(ended_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="integrations_reconciliation_running_has_lease",
                condition=Q(state=ReconciliationState.RUNNING, lease_until__isnull=False)
                | ~Q(state=ReconciliationState.RUNNING),
            ),
        ]
        indexes = [models.Index(name="integrations_reconcil_list", fields=["organization", "-id"])]

    def __str__(self) -> str:
        return f"reconciliation {self.pk}"


class BreakQuerySet(models.QuerySet["Break"]):
    def visible_to(self, membership: Membership) -> Self:
        """Differences with the gateways of the member's own organization, but of veiled cases."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership)

    def open(self) -> Self:
        """Those that nobody has settled and that still differ."""
        return self.filter(state=BreakState.OPEN)


class Break(Movable):
    """One refund about which a gateway and the desk differ. Nothing of it is mended without a person."""

    MOVES = BREAK_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="breaks", db_index=False)
    kind = models.CharField(max_length=14, choices=BreakKind)
    state = models.CharField(max_length=10, choices=BreakState, default=BreakState.OPEN, editable=False)
    reference = models.CharField(max_length=100, help_text="The refund's name at the gateway.")
    payment_reference = models.CharField(max_length=100)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, related_name="breaks")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, null=True, related_name="breaks")
    key = models.UUIDField(null=True, help_text="Ours, where it was made by this desk.")
    ours_minor = models.BigIntegerField(null=True)
    ours_currency = models.CharField(max_length=3, blank=True)
    theirs_minor = models.BigIntegerField(null=True)
    theirs_currency = models.CharField(max_length=3, blank=True)
    words = models.CharField(max_length=300, help_text="The difference in a sentence.")
    found_in = models.ForeignKey(Reconciliation, on_delete=models.PROTECT, related_name="+", db_index=False)
    seen_in = models.ForeignKey(
        Reconciliation, on_delete=models.PROTECT, related_name="breaks", help_text="The last one that saw it."
    )
    found_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True)
    settled_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    remedy = models.CharField(max_length=10, choices=Remedy, blank=True)
    reason = models.CharField(max_length=300, blank=True)

    objects: ClassVar[BreakQuerySet] = BreakQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("integrations_break_known_state", BreakState),
            models.UniqueConstraint(
                name="integrations_break_open_once",
                fields=["connection", "reference", "kind"],
                condition=Q(state=BreakState.OPEN),
            ),
            models.CheckConstraint(
                name="integrations_break_closed_at_iff_closed",
                condition=Q(state=BreakState.OPEN, closed_at=None)
                | (~Q(state=BreakState.OPEN) & Q(closed_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="integrations_break_settled_by_somebody",
                condition=Q(state=BreakState.SETTLED, settled_by__isnull=False) & ~Q(remedy="") & ~Q(reason="")
                | (~Q(state=BreakState.SETTLED) & Q(settled_by=None)),
            ),
        ]
        indexes = [
            models.Index(name="integrations_break_open", fields=["organization", "-id"], condition=Q(state="open")),
            models.Index(name="integrations_break_by_payment", fields=["connection", "payment_reference"]),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.reference}"

    @property
    def ours(self) -> Money | None:
        """What the desk has; None where it has nothing."""
        return Money(self.ours_minor, self.ours_currency) if self.ours_minor is not None else None

    @property
    def theirs(self) -> Money | None:
        """What the gateway has; None where it has nothing."""
        return Money(self.theirs_minor, self.theirs_currency) if self.theirs_minor is not None else None
