"""What monitoring asks: numbers from rows, each statement over an index and bounded, however large the tables are.

Recent things are looked for among the newest rows, so a figure of the last minutes is exact up to that many of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Min, Model, Q, QuerySet
from django.db.models.functions import Now

from approvals.models import Review
from approvals.states import ReviewState
from integrations.models import Action, Call
from opsdesk.celery import app
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch import due
from workflows.models import Alert, Event, Failure, Run, StepRun
from workflows.states import RunState

RECENT, WINDOW = 10_000, timedelta(minutes=5)
# How long a step took: from the end of the one before it in its run; the first has none before it.
_STEP_SECONDS = """
    WITH newest AS (
        SELECT run_id, id, at, key, kind FROM workflows_steprun ORDER BY id DESC LIMIT %(recent)s
    ), lengths AS (
        SELECT at, key, kind, extract(epoch FROM at - lag(at) OVER (PARTITION BY run_id ORDER BY id)) AS seconds
        FROM newest
    )
    SELECT key, kind, count(*), sum(seconds),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds)
    FROM lengths WHERE seconds IS NOT NULL AND at > now() - make_interval(secs => %(window)s)
    GROUP BY key, kind ORDER BY key, kind
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its labels, in the order of the family's label names."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class StepLength:
    """How long one step took lately."""

    step: str
    kind: str
    count: int
    total: float
    median: float
    high: float


def queues(now: datetime) -> Iterator[tuple[str, int, float]]:
    """Name, depth and lag in seconds of each kind of due rows."""
    for queue in due.QUEUES:
        depth = due.depth(queue)
        yield queue.name, depth.count, depth.lag(now).total_seconds()


def active_runs() -> Iterator[Figure]:
    """Runs that have not ended: by state, and what the waiting ones wait for; counted up to a bound each."""
    for state in (RunState.READY, RunState.RUNNING):
        rows = Run.objects.filter(state=state, **_INDEXED[state]).order_by()
        yield Figure((state.value, ""), _bounded(rows))
    waiting = Run.objects.filter(state=RunState.WAITING).order_by("organization", "waiting_since")
    named = waiting.values("waits_for")[: due.DEEPEST + 1]
    counted: dict[str, int] = {}
    for row in named:
        counted[row["waits_for"]] = counted.get(row["waits_for"], 0) + 1
    for waits_for, count in sorted(counted.items()):
        yield Figure((RunState.WAITING.value, waits_for), count)


# The condition that lets each partial index serve, which the state alone would not say.
_INDEXED: dict[RunState, dict[str, Any]] = {
    RunState.READY: {"wake_at__isnull": False},
    RunState.RUNNING: {"lease_until__isnull": False},
}


def _bounded(rows: QuerySet[Any]) -> int:
    return int(rows.values("pk")[: due.DEEPEST + 1].aggregate(count=Count("*"))["count"])


def _lately(model: type[Model], moment: str, *names: str) -> Iterator[Figure]:
    """How many rows of the last five minutes there are, by these columns, among the newest."""
    newest = model._default_manager.order_by("-pk").values("pk", moment, *names)[:RECENT]
    recent = model._default_manager.filter(pk__in=newest.values("pk"), **{f"{moment}__gt": Now() - WINDOW})
    for row in recent.order_by().values(*names).annotate(count=Count("*")).order_by(*names):
        yield Figure(tuple(str(row[name] or "") for name in names), row["count"])


def events_lately() -> Iterable[Figure]:
    """Events taken in, by source and what became of them."""
    return _lately(Event, "received_at", "source", "state")


def steps_lately() -> Iterable[Figure]:
    """Steps performed, by kind and outcome."""
    return _lately(StepRun, "at", "kind", "outcome")


def actions_lately() -> Iterable[Figure]:
    """Actions begun, by organization, connection, operation and where they stand."""
    return _lately(
        Action, "created_at", "organization__slug", "connection__slug", "operation", "state"
    )  # fmt: skip


def calls_lately() -> Iterable[Figure]:
    """Calls to outside systems, by organization, connection, operation and outcome."""
    return _lately(Call, "at", "connection__organization__slug", "connection__slug", "operation", "outcome")


def step_lengths() -> list[StepLength]:
    """How long steps took that ended in the last five minutes."""
    with connection.cursor() as cursor:
        cursor.execute(_STEP_SECONDS, {"recent": RECENT, "window": WINDOW.total_seconds()})
        return [StepLength(key, kind, count, *map(float, rest)) for key, kind, count, *rest in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class ReviewAges:
    """The open reviews of one tier."""

    tier: str
    open: int
    late: int
    oldest_seconds: float


def review_ages(now: datetime) -> list[ReviewAges]:
    """How many reviews are open and late, and how old the oldest is, by tier."""
    looked = Review.objects.filter(state=ReviewState.OPEN).order_by("organization", "tier", "due_at", "pk")
    rows = (
        Review.objects.filter(pk__in=looked.values("pk")[: due.DEEPEST + 1])
        .order_by()
        .values("tier")
        .annotate(open=Count("*"), late=Count("pk", filter=Q(due_at__lt=Now())), oldest=Min("opened_at"))
        .order_by("tier")
    )
    return [ReviewAges(row["tier"], row["open"], row["late"], (now - row["oldest"]).total_seconds()) for row in rows]


def failures() -> Iterator[Figure]:
    """Failures that need somebody, by kind; there is one row a cause, so they are few."""
    for row in Failure.objects.pressing().order_by().values("kind").annotate(count=Count("*")).order_by("kind"):
        yield Figure((row["kind"],), row["count"])


def alerts() -> Iterator[Figure]:
    """Open alerts, by kind."""
    for row in Alert.objects.open().order_by().values("kind").annotate(count=Count("*")).order_by("kind"):
        yield Figure((row["kind"],), row["count"])


def processes(now: datetime) -> Iterator[Figure]:
    """How many processes of each kind were seen in the last minute; zero is a number too."""
    alive = Heartbeat.objects.running().filter(last_seen_at__gt=now - timedelta(minutes=1)).order_by()
    counted = dict(alive.values_list("kind").annotate(count=Count("*")))
    for kind in (HeartbeatKind.WEB, HeartbeatKind.WORKER, HeartbeatKind.BEAT, HeartbeatKind.JOBS):
        yield Figure((kind.value,), counted.get(kind.value, 0))


def silences(now: datetime) -> Iterator[Figure]:
    """Seconds since beat, the watchdog and each periodic task were last seen at work; what never was has no number."""
    seen = Heartbeat.objects.of(HeartbeatKind.BEAT, HeartbeatKind.WATCHDOG, HeartbeatKind.TASK)
    newest: dict[tuple[str, str], datetime] = {}
    tasks = {entry["task"] for entry in app.conf.beat_schedule.values()}
    for row in seen.order_by("last_seen_at"):
        if row.kind != HeartbeatKind.TASK or row.name in tasks:
            newest[row.kind, row.name if row.kind == HeartbeatKind.TASK else ""] = row.last_seen_at
    for labels, last in sorted(newest.items()):
        yield Figure(labels, (now - last).total_seconds())
