"""The jobs process: rq's worker, with a heartbeat."""

from typing import Any

import structlog
from rq import Worker

from opsdesk.models import HeartbeatKind
from opsdesk.watch.heartbeats import Pulse


class DeskWorker(Worker):
    """Says that it lives while it waits and while it works; each errand's lines and entries carry its id."""

    def work(self, *args: Any, **options: Any) -> bool:
        """Work until asked to stop."""
        pulse = Pulse(HeartbeatKind.JOBS, queues=self.queue_names()).start()
        try:
            return bool(super().work(*args, **options))
        finally:
            pulse.stop()

    def perform_job(self, job: Any, *args: Any, **options: Any) -> bool:
        """Carry out one errand."""
        with structlog.contextvars.bound_contextvars(task_id=job.id, task=job.func_name):
            return bool(super().perform_job(job, *args, **options))
