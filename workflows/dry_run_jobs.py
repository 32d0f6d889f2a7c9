"""Dry runs are a person's errand: their job, asked for when one is started and again when it was lost."""

from django.db import transaction

from accounts.models import User
from opsdesk.lib.errands import Errand
from workflows import dry_runs
from workflows.models import DryRun, RuleSet

_ERRAND = Errand("dry_run", "workflows.dry_run_jobs.carry")
enqueue = _ERRAND.enqueue


@transaction.atomic
def ask(rule_set: RuleSet, *, most: int, by: User) -> DryRun:
    """Have rules tried on past cases, and a job for it. Raises Unpublishable for rules that cannot be asked."""
    dry_run = dry_runs.ask(rule_set, most=most, by=by)
    enqueue(dry_run.pk)
    return dry_run


def carry(dry_run_id: int) -> str:
    """Work on a dry run for a while, and queue up again behind others when something is left."""
    return _ERRAND.carry(dry_run_id, dry_runs.carry_on)


def wake_stale() -> int:
    """Ask again for dry runs on which no job has worked for a while: it was killed, or the queue lost it."""
    return _ERRAND.wake(dry_runs.take_stale())
