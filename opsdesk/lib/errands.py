"""The door for django-rq: work that a person waits for. A job says which row; the row says what is left of it.

A job is asked for once its transaction has committed, works for a while, and queues up again behind others. A row
whose job was killed, or lost by the queue, is found by whoever sweeps; so one that cannot be queued is only logged.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import django_rq
import structlog
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)
QUEUE = "default"
# A job gives others their turn after this long.
TURN_SECONDS = 20.0
# A running row that no job has touched for this long has lost its job.
STALE_AFTER = timedelta(seconds=30)
# After so many lost jobs in a row it is not the job's fault.
MOST_TRIES = 5


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


@transaction.atomic
def take_lost(running: "QuerySet[Any]", give_up: Callable[[Any, str], object]) -> list[int]:
    """Of rows that run (with `touched_at` and `tries`) those that have lost their job, marked as asked for again.

    One that gets nowhere is handed to `give_up` with the reason instead.
    """
    found = list(running.filter(touched_at__lt=Now() - STALE_AFTER).order_by("pk").select_for_update(skip_locked=True))
    for row in found:
        if row.tries >= MOST_TRIES:
            give_up(row, f"No job got on with it, {MOST_TRIES} times in a row: the log of the jobs process says why.")
    keys = [row.pk for row in found if row.tries < MOST_TRIES]
    running.filter(pk__in=keys).update(touched_at=Now(), tries=F("tries") + 1)
    return keys
