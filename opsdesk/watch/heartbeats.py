"""Heartbeats as rows: each process says every ten seconds that it lives, each periodic task that it was done.

They tell of a dead broker, worker or clock to whoever reads the database, and need none of these themselves.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from django.db import DatabaseError, connection, connections

from opsdesk.lib import clock
from opsdesk.models import Heartbeat, HeartbeatKind

log = structlog.get_logger(__name__)
EVERY_SECONDS = 10.0
# A task that is done every second says so only this often in each process.
TASK_SECONDS = 5.0
_UPDATED = ["queues", "last_seen_at", "host_clock", "ended_at"]


def database_now() -> datetime:
    """The database's clock, by which everything about heartbeats is reckoned."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    found: datetime = row[0]
    return found


def note(kind: HeartbeatKind, name: str, *, queues: Sequence[str] = (), ended: bool = False) -> None:
    """Write that something was seen just now, in one statement."""
    row = Heartbeat(
        kind=kind,
        name=name[:120],
        host=socket.gethostname()[:80],
        queues=list(queues),
        host_clock=clock.now(),
        ended_at=clock.now() if ended else None,
    )
    Heartbeat.objects.bulk_create([row], update_conflicts=True, unique_fields=["kind", "name"], update_fields=_UPDATED)


class Pulse:
    """Notes this process from a thread of its own until it is stopped.

    `proof` is asked before each beat: False keeps silent, so that a process that lives and does nothing is missed.
    `then` is called after each beat. The connection is closed after each: a process may fork in between.
    """

    def __init__(
        self,
        kind: HeartbeatKind,
        *,
        queues: Sequence[str] = (),
        proof: Callable[[], bool] = lambda: True,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        # The mark tells a process from an earlier one that had its number.
        self.name = f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(3)}"
        self._kind, self._queues, self._proof, self._then = kind, list(queues), proof, then
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="pulse", daemon=True)

    def start(self) -> "Pulse":
        """Begin; returns itself."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End, and write that it ended because it was asked to. May be called twice."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._thread.join(timeout=5)
            self.beat(ended=True)

    def beat(self, *, ended: bool = False) -> None:
        """One beat; a database that is away is said in the log and asked again at the next."""
        try:
            if ended or self._proof():
                note(self._kind, self.name, queues=self._queues, ended=ended)
            if not ended:
                self._then()
        except DatabaseError as error:
            log.warning("heartbeat_not_written", process=self._kind.value, error=str(error).strip())
        except Exception:
            log.exception("heartbeat_broke", process=self._kind.value)
        finally:
            connections.close_all()

    def _beat_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self.beat()
            self._stopping.wait(EVERY_SECONDS)


class TaskNotes:
    """Notes periodic tasks when they were done, each at most every five seconds in a process."""

    def __init__(self) -> None:
        self._noted: dict[str, float] = {}

    def done(self, task: str) -> None:
        """Note one; trouble with it never becomes the task's."""
        if time.monotonic() - self._noted.get(task, -TASK_SECONDS) < TASK_SECONDS:
            return
        self._noted[task] = time.monotonic()
        try:
            note(HeartbeatKind.TASK, task)
        except DatabaseError as error:
            log.warning("task_not_noted", task=task, error=str(error).strip())
