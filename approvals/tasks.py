"""The timers' door for Celery."""

from celery import shared_task

from approvals import timers


@shared_task(name="approvals.settle_due")
def settle_due() -> int:
    """Let votes take effect, start and end objection windows."""
    return timers.settle_due()
