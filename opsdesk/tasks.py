"""The doors for Celery of what watches over the desk itself."""

from celery import shared_task

from opsdesk.drill import running
from opsdesk.watch import watchdog


@shared_task(name="opsdesk.watch")
def watch() -> int:
    """Look whether everything is at work."""
    return watchdog.look()


@shared_task(name="opsdesk.drill_reversals")
def drill_reversals() -> int:
    """Take everything back in the sandbox once a day, to know that it still can be."""
    return running.run_if_due()
