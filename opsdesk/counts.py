"""What the numbers beside the navigation count.

Each key of `COUNTERS` is the `counter` of a navigation entry; its function gives the rows as this member
may see them, unsliced. All are counted in one statement, and only up to a cap, so that a long queue costs
no more than a short one.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now

from accounts.models import Membership
from approvals.models import Review
from integrations.health import ANSWERED
from integrations.models import Action, Break, Breaker, Call, Connection
from integrations.states import BreakerState
from workflows.models import Alert, Failure, Recovery
from workflows.states import Tier

Rows = Callable[[Membership], QuerySet[Any]]

# An answer that has not come for this long is no longer on its way.
DOUBT_AFTER = timedelta(minutes=2)


def _queue(member: Membership) -> QuerySet[Any]:
    return Review.objects.visible_to(member).open().filter(tier=Tier.FULL_REVIEW)


def _escalations(member: Membership) -> QuerySet[Any]:
    return Review.objects.visible_to(member).open().filter(Q(due_at__lt=Now()) | Q(escalated_at__isnull=False))


def _leaving(member: Membership) -> QuerySet[Any]:
    return Review.objects.visible_to(member).open().filter(tier=Tier.FAST_TRACK)


def _stalled(member: Membership) -> QuerySet[Any]:
    """The two kinds that matter most, cheaply; the page looks through all of them."""
    reviews = Review.objects.visible_to(member).open().filter(Q(due_at__lt=Now()) | ~Q(blocked_reason=""))
    actions = Action.objects.visible_to(member).in_doubt().filter(created_at__lt=Now() - DOUBT_AFTER)
    return reviews.order_by().values("pk").union(actions.order_by().values("pk"), all=True)


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


def _recovery(member: Membership) -> QuerySet[Any]:
    return Recovery.objects.visible_to(member).open()


COUNTERS: dict[str, Rows] = {
    "queue": _queue,
    "escalations": _escalations,
    "leaving": _leaving,
    "stalled": _stalled,
    "alerts": _alerts,
    "failures": _failures,
    "connections": _connections,
    "differences": _differences,
    "recovery": _recovery,
}
