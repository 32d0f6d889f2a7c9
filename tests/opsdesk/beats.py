"""Heartbeats as processes leave them, for tests of what watches over them."""

from datetime import timedelta
from typing import Any

from opsdesk.celery import app
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch import watchdog
from opsdesk.watch.heartbeats import database_now
from tests import factories

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TASKS = sorted({entry["task"] for entry in app.conf.beat_schedule.values()})


def seen(kind: HeartbeatKind, name: str, *, ago: timedelta = timedelta(0), **fields: object) -> Any:
    """A heartbeat of so long ago, of something that was begun a day ago."""
    now = database_now()
    row = Heartbeat.objects.create(kind=kind, name=name, host="work-1", **{"started_at": now - DAY, **fields})
    return factories.at(row, last_seen_at=now - ago, host_clock=now - ago)


def see_everything() -> None:
    """A desk that has been watched for a day and of which everything was seen just now."""
    seen(HeartbeatKind.WATCHDOG, watchdog.NAME, ago=MINUTE)
    seen(HeartbeatKind.BEAT, "work-1:1")
    seen(HeartbeatKind.WORKER, "work-1:2", queues=["actions", "engine"])
    seen(HeartbeatKind.JOBS, "work-1:3", queues=["default"])
    for task in TASKS:
        seen(HeartbeatKind.TASK, task)


def age(name: str, by: timedelta) -> None:
    """Let something have been seen so long ago for the last time."""
    then = database_now() - by
    Heartbeat.objects.filter(name=name).update(last_seen_at=then, host_clock=then)
