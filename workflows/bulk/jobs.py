"""The door for django-rq: a bulk is a person's errand. The job says which one; the rows say what is left of it."""

from functools import partial

import django_rq
import structlog
from django.db import transaction
from redis.exceptions import RedisError

from workflows.bulk import carrying

log = structlog.get_logger(__name__)
QUEUE = "default"


def enqueue(bulk_id: int) -> None:
    """Have a job work on the bulk once the current transaction has committed; a lost job is asked for again."""
    transaction.on_commit(partial(_push, bulk_id), robust=True)


def carry(bulk_id: int) -> str:
    """Work on a bulk for a while, and queue up again behind others when something is left."""
    more = carrying.carry_on(bulk_id)
    if more:
        enqueue(bulk_id)
    return "more is left" if more else "nothing is left"


def wake_stale() -> int:
    """Ask again for bulks on which no job has worked for a while: it was killed, or the queue lost it."""
    stale = carrying.take_stale()
    for bulk_id in stale:
        _push(bulk_id)
    return len(stale)


def _push(bulk_id: int) -> None:
    try:
        django_rq.get_queue(QUEUE).enqueue(carry, bulk_id, result_ttl=0, failure_ttl=3_600)
    except RedisError as error:
        log.warning("bulk_not_queued", bulk_id=bulk_id, error=str(error))
