"""The door for django-rq: a dry run is a person's errand. The job says which one; the row says what is left of it."""

from functools import partial

import django_rq
import structlog
from django.db import transaction
from redis.exceptions import RedisError

from accounts.models import User
from workflows import dry_runs
from workflows.models import DryRun, RuleSet

log = structlog.get_logger(__name__)
QUEUE = "default"


@transaction.atomic
def ask(rule_set: RuleSet, *, most: int, by: User) -> DryRun:
    """Have rules tried on past cases, and a job for it. Raises Unpublishable for rules that cannot be asked."""
    dry_run = dry_runs.ask(rule_set, most=most, by=by)
    enqueue(dry_run.pk)
    return dry_run


def enqueue(dry_run_id: int) -> None:
    """Have a job work on it once the current transaction has committed; a lost job is asked for again."""
    transaction.on_commit(partial(_push, dry_run_id), robust=True)


def carry(dry_run_id: int) -> str:
    """Work on a dry run for a while, and queue up again behind others when something is left."""
    more = dry_runs.carry_on(dry_run_id)
    if more:
        enqueue(dry_run_id)
    return "more is left" if more else "nothing is left"


def wake_stale() -> int:
    """Ask again for dry runs on which no job has worked for a while: it was killed, or the queue lost it."""
    stale = dry_runs.take_stale()
    for dry_run_id in stale:
        _push(dry_run_id)
    return len(stale)


def _push(dry_run_id: int) -> None:
    try:
        django_rq.get_queue(QUEUE).enqueue(carry, dry_run_id, result_ttl=0, failure_ttl=3_600)
    except RedisError as error:
        log.warning("dry_run_not_queued", dry_run_id=dry_run_id, error=str(error))
