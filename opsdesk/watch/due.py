"""What is due and not yet done, kind by kind: how much, and since when. For alerts, figures and the doctor."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Min, QuerySet
from django.db.models.functions import Now

from approvals import tries
from approvals.models import Review
from approvals.states import ReviewState, Timer
from integrations import claiming
from integrations.models import Notice, Payment
from workflows.engine import running
from workflows.models import Event
from workflows.recovery import mode
from workflows.states import EventState

# Deeper than this nobody counts: a deep queue costs no more to look at than a shallow one.
DEEPEST = 10_000


@dataclass(frozen=True, slots=True)
class Queue:
    """One kind of due rows: the query that finds them over an index, and the column that says since when."""

    name: str
    label: str
    worked_off_by: str
    rows: Callable[[], QuerySet[Any]]
    since: str


@dataclass(frozen=True, slots=True)
class Depth:
    """How many are due (up to DEEPEST + 1), and since when the one is that has waited longest of them."""

    queue: Queue
    count: int
    oldest: datetime | None

    def lag(self, now: datetime) -> timedelta:
        """How long the oldest has been due."""
        return max(now - self.oldest, timedelta(0)) if self.oldest else timedelta(0)

    @property
    def words(self) -> str:
        """The number as it is said."""
        return f"more than {DEEPEST}" if self.count > DEEPEST else str(self.count)


def _events() -> QuerySet[Any]:
    return Event.objects.filter(state=EventState.RECEIVED).order_by("pk")


def _settling() -> QuerySet[Any]:
    deciding = [ReviewState.APPROVING, ReviewState.REJECTING]
    rows = Review.objects.filter(state__in=deciding, settles_at__lte=Now()).order_by("settles_at")
    return tries.ready(Timer.SETTLE, rows.exclude(organization_id__in=mode.held()))


def _leaving() -> QuerySet[Any]:
    rows = Review.objects.filter(state=ReviewState.OPEN, objection_ends_at__lte=Now()).order_by("objection_ends_at")
    return tries.ready(Timer.LEAVE, rows.exclude(organization_id__in=mode.held()))


def _notices() -> QuerySet[Any]:
    rows = Notice.objects.waiting().filter(due_at__lte=Now()).order_by("due_at")
    return rows.exclude(organization_id__in=mode.held())


def _payments() -> QuerySet[Any]:
    due = Payment.objects.filter(reread_at__lte=Now(), connection__enabled=True)
    return due.order_by("reread_at")


ENGINE, ACTIONS = "engine", "actions"
QUEUES: tuple[Queue, ...] = (
    Queue("events", "events that nobody has looked at", ENGINE, _events, "received_at"),
    Queue("runs", "runs that could go on", ENGINE, running.claimable, "wake_at"),
    Queue("reviews", "votes that should take effect", ENGINE, _settling, "settles_at"),
    Queue("windows", "objection windows that have ended", ENGINE, _leaving, "objection_ends_at"),
    Queue("actions", "actions to send or to verify", ACTIONS, claiming.claimable, "due_at"),
    Queue("notices", "mails and messages to hand over", ACTIONS, _notices, "due_at"),
    Queue("payments", "payments to read again", ACTIONS, _payments, "reread_at"),
)


def depth(queue: Queue) -> Depth:
    """Look at one kind, in one bounded statement."""
    first = queue.rows().values(since=F(queue.since))[: DEEPEST + 1]
    found = first.aggregate(count=Count("*"), oldest=Min("since"))
    return Depth(queue, found["count"], found["oldest"])
