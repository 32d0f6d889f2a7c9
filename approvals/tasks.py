"""The timers' door for Celery."""

from celery import shared_task

from approvals import pushing, timers


@shared_task(name="approvals.settle_due")
def settle_due() -> int:
    """Let votes take effect, start and end objection windows."""
    return timers.settle_due()


@shared_task(name="approvals.give_out")
def give_out() -> int:
    """Give cases to the people whose turn it is."""
    return pushing.give_out()
