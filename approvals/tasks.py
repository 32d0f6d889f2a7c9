"""The timers' door for Celery."""

from celery import shared_task

from approvals import ladder, pushing, timers, trials


@shared_task(name="approvals.settle_due")
def settle_due() -> int:
    """Let votes take effect, start and end objection windows."""
    return timers.settle_due()


@shared_task(name="approvals.give_out")
def give_out() -> int:
    """Give cases to the people whose turn it is."""
    return pushing.give_out()


@shared_task(name="approvals.climb_ladders")
def climb_ladders() -> int:
    """Remind, hand over and tell managers of what waits too long."""
    return ladder.climb()


@shared_task(name="approvals.wake_trials")
def wake_trials() -> int:
    """Ask again for trials of thresholds whose job was lost."""
    return trials.wake_stale()
