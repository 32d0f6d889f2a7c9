"""The door for django-rq: work that a person waits for. A job says which row; the row says what is left of it.

A job is asked for once its transaction has committed, works for a while, and queues up again behind others. A row
whose job was killed, or lost by the queue, is found by whoever sweeps; so one that cannot be queued is only logged.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import django_rq
import structlog
from django.db import transaction
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)
QUEUE = "default"
# A job gives others their turn after this long.
TURN_SECONDS = 20.0


@dataclass(frozen=True)
class Errand:
    """One kind of work: how the log calls it, and the dotted path of its job, a function of a row's key."""

    name: str
    job: str

    def enqueue(self, key: int) -> None:
        """Have a job work on the row once the current transaction has committed."""
        transaction.on_commit(partial(push, self.name, self.job, key), robust=True)

    def carry(self, key: int, carry_on: Callable[[int], bool]) -> str:
        """Work on the row for a while; `carry_on` says whether something is left, for which the job queues up again."""
        more = carry_on(key)
        if more:
            self.enqueue(key)
        return "more is left" if more else "nothing is left"

    def wake(self, stale: Iterable[int]) -> int:
        """Ask again for rows that have lost their job; says how many."""
        keys = list(stale)
        for key in keys:
            push(self.name, self.job, key)
        return len(keys)


def push(name: str, job: str, key: int) -> None:
    """Put a job into the queue now; one that cannot be put there is asked for again by the sweeper."""
    try:
        django_rq.get_queue(QUEUE).enqueue(job, key, result_ttl=0, failure_ttl=3_600)
    except RedisError as error:
        log.warning("errand_not_queued", errand=name, key=key, error=str(error))


def work(chunk: Callable[[int], bool], key: int, *, seconds: float = TURN_SECONDS) -> bool:
    """Call `chunk`, a short transaction that says whether something is left; True when time ran out before the end."""
    end = time.monotonic() + seconds
    while chunk(key):
        if time.monotonic() > end:
            return True
    return False
