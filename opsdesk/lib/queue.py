"""Ringing the workers' doorbell. The rows hold the work; a lost ring costs a few seconds, nothing else."""

import threading
import time

import structlog
from celery import current_app
from django.db import transaction

log = structlog.get_logger(__name__)
# Rings of one process are gathered for this long, so that a burst of events costs one message, not one each.
GATHER_SECONDS = 0.02


class _Doorbell:
    """One background thread a process sends the gathered rings, so that no request waits for the broker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: set[str] = set()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def ring(self, task: str) -> None:
        with self._lock:
            self._due.add(task)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._send_for_ever, name="doorbell", daemon=True)
                self._thread.start()
        self._wake.set()

    def _send_for_ever(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(GATHER_SECONDS)
            self._wake.clear()
            with self._lock:
                due, self._due = self._due, set()
            for task in due:
                try:
                    current_app.send_task(task, retry=False)
                except Exception as error:  # noqa: BLE001 - any broker trouble: the tick finds the rows instead
                    log.warning("doorbell_not_heard", task=task, error=str(error))


_doorbell = _Doorbell()


def ring(task: str) -> None:
    """Tell the workers, once the current transaction has committed, that `task` has something to look at."""
    transaction.on_commit(lambda: _doorbell.ring(task), robust=True)
