"""Whether an operation of a connection is tried at all: one row each, as soon as there was trouble with it."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership
from integrations.models.connections import Connection
from integrations.states import BREAKER_MOVES, BreakerState
from opsdesk.lib.states import Movable, known_states, only_listed_moves


class BreakerQuerySet(models.QuerySet["Breaker"]):
    def visible_to(self, membership: Membership) -> Self:
        """Breakers of the connections of the member's own organization."""
        return self.filter(connection__organization_id=membership.organization_id)

    def holding(self) -> Self:
        """Breakers that let nothing through now, by the database's clock; those with a probe to give away too."""
        return self.filter(~Q(state=BreakerState.CLOSED) | Q(quiet_until__gt=Now()))

    def ready(self) -> Self:
        """Open breakers that have waited long enough for a try, and half-open ones whose try is lost."""
        waited = Q(state=BreakerState.OPEN, forced=False, probe_at__lte=Now())
        return self.filter(waited | Q(state=BreakerState.HALF_OPEN, probe_until__lte=Now()))


class Breaker(Movable):
    """The circuit breaker of one operation of a connection. No row: it has never been in trouble, and is closed.

    `epoch` grows with every move, so that an answer that comes late moves nothing.
    """

    MOVES = BREAKER_MOVES

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="breakers", db_index=False)
    operation = models.CharField(max_length=40)
    state = models.CharField(max_length=10, choices=BreakerState, default=BreakerState.CLOSED, editable=False)
    epoch = models.PositiveIntegerField(default=0)
    moved_at = models.DateTimeField(null=True, help_text="Calls before this moment no longer count.")
    probe_at = models.DateTimeField(null=True, help_text="Open: when one try finds out how things stand.")
    probe_until = models.DateTimeField(null=True, help_text="Half-open: when the one try is given up for lost.")
    forced = models.BooleanField(default=False, help_text="Put so by staff: it stays so until they let it go.")
    reason = models.CharField(max_length=300, blank=True)
    quiet_until = models.DateTimeField(null=True, help_text="The other side asked us to stay away until then.")

    objects: ClassVar[BreakerQuerySet] = BreakerQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["connection", "operation"]
        constraints = [
            known_states("integrations_breaker_known_state", BreakerState),
            models.UniqueConstraint(name="integrations_breaker_once", fields=["connection", "operation"]),
            models.CheckConstraint(
                name="integrations_breaker_open_probes_unless_forced",
                condition=Q(state=BreakerState.OPEN, forced=False, probe_at__isnull=False) | Q(probe_at=None),
            ),
            models.CheckConstraint(
                name="integrations_breaker_open_says_why",
                condition=Q(state=BreakerState.CLOSED)
                | (~Q(reason="") & (Q(forced=True) | Q(probe_at__isnull=False) | Q(probe_until__isnull=False))),
            ),
            models.CheckConstraint(
                name="integrations_breaker_probe_until_iff_half_open",
                condition=Q(state=BreakerState.HALF_OPEN, probe_until__isnull=False, forced=False)
                | (~Q(state=BreakerState.HALF_OPEN) & Q(probe_until=None)),
            ),
        ]
        triggers = [only_listed_moves(BREAKER_MOVES)]

    def __str__(self) -> str:
        return f"{self.connection.slug}/{self.operation}"
