"""What the numbers beside the navigation count.

Each key of `COUNTERS` is the `counter` of a navigation entry; its function gives the rows as this member
may see them, unsliced. All are counted in one statement, and only up to a cap, so that a long queue costs
no more than a short one.
"""

from collections.abc import Callable
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now

from accounts.models import Membership
from approvals.models import Review, SecondOpinion
from integrations.health import ANSWERED
from integrations.models import Break, Breaker, Call, Connection, Notice
from integrations.states import BreakerState
from opsdesk.lib import clock
from opsdesk.screens.stalls import every_row
from workflows.models import Alert, Failure, Recovery
from workflows.states import Tier
from workflows.waits import Look

Rows = Callable[[Membership], QuerySet[Any]]


def _queue(member: Membership) -> QuerySet[Any]:
    return Review.objects.visible_to(member).open().filter(tier=Tier.FULL_REVIEW)


def _escalations(member: Membership) -> QuerySet[Any]:
    return Review.objects.visible_to(member).open().filter(Q(due_at__lt=Now()) | Q(escalated_at__isnull=False))


def _leaving(member: Membership) -> QuerySet[Any]:
    return Review.objects.visible_to(member).open().filter(tier=Tier.FAST_TRACK)


def _second_opinions(member: Membership) -> QuerySet[Any]:
    return SecondOpinion.objects.visible_to(member).open()


def _stalled(member: Membership) -> QuerySet[Any]:
    """What the page lists, of every kind."""
    return every_row(Look(member, clock.now()))


def _alerts(member: Membership) -> QuerySet[Any]:
    """Alerts that nobody looks after yet."""
    return Alert.objects.visible_to(member).unanswered()


def _failures(member: Membership) -> QuerySet[Any]:
    return Failure.objects.visible_to(member).pressing()


def _connections(member: Membership) -> QuerySet[Any]:
    """Connections that are off, paused, held by a breaker, or did not answer their last call."""
    last = Call.objects.filter(connection=OuterRef("pk")).order_by("-pk").values("outcome")[:1]
    open_breaker = Breaker.objects.filter(connection=OuterRef("pk")).exclude(state=BreakerState.CLOSED)
    silent = Q(last__isnull=False) & ~Q(last__in=ANSWERED)
    return (
        Connection.objects.visible_to(member)
        .annotate(last=Subquery(last))
        .filter(Q(enabled=False) | Q(acting_enabled=False) | silent | Q(Exists(open_breaker)))
    )


def _differences(member: Membership) -> QuerySet[Any]:
    return Break.objects.visible_to(member).open()


def _notices(member: Membership) -> QuerySet[Any]:
    """What this person was told and has not read."""
    return Notice.objects.told_to(member).filter(read_at=None)


def _recovery(member: Membership) -> QuerySet[Any]:
    return Recovery.objects.visible_to(member).open()


COUNTERS: dict[str, Rows] = {
    "queue": _queue,
    "escalations": _escalations,
    "leaving": _leaving,
    "second_opinions": _second_opinions,
    "stalled": _stalled,
    "alerts": _alerts,
    "failures": _failures,
    "connections": _connections,
    "differences": _differences,
    "notices": _notices,
    "recovery": _recovery,
}
