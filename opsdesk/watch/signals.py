"""Where Celery's processes begin and end, and where a task is done: each leaves a heartbeat."""

import atexit
import threading
from typing import Any

from celery.signals import after_task_publish, beat_init, task_success, worker_ready, worker_shutdown

from opsdesk.celery import app
from opsdesk.models import HeartbeatKind
from opsdesk.watch.heartbeats import Pulse, TaskNotes

_tasks = TaskNotes()
_pulses: list[Pulse] = []
_rung = threading.Event()


@worker_ready.connect
def _worker_begins(**kwargs: Any) -> None:
    """Once it takes from its queues: until then it is of no use to anybody."""
    _pulses.append(Pulse(HeartbeatKind.WORKER, queues=sorted(app.amqp.queues.consume_from)).start())


@worker_shutdown.connect
def _worker_ends(**kwargs: Any) -> None:
    for pulse in _pulses:
        pulse.stop()


@beat_init.connect
def _beat_begins(**kwargs: Any) -> None:
    """What counts is that it rings: one that lives and reaches no broker is missed as if it were dead."""
    after_task_publish.connect(_beat_rang)
    pulse = Pulse(HeartbeatKind.BEAT, proof=_has_rung).start()
    atexit.register(pulse.stop)


def _beat_rang(**kwargs: Any) -> None:
    _rung.set()


def _has_rung() -> bool:
    """Whether anything was rung since this was last asked."""
    rung = _rung.is_set()
    _rung.clear()
    return rung


@task_success.connect
def _task_done(sender: Any = None, **kwargs: Any) -> None:
    if sender is not None and any(entry["task"] == sender.name for entry in app.conf.beat_schedule.values()):
        _tasks.done(sender.name)
