"""The watchdog's door for Celery."""

from celery import shared_task

from opsdesk.watch import watchdog


@shared_task(name="opsdesk.watch")
def watch() -> int:
    """Look whether everything is at work."""
    return watchdog.look()
