"""The doors for Celery of what watches over the desk itself, of files people asked for, and of what goes in time."""

from celery import shared_task
from django.core.management import call_command

from accounts import guessing
from opsdesk.drill import running
from opsdesk.lists import exporting
from opsdesk.watch import watchdog


@shared_task(name="opsdesk.watch")
def watch() -> int:
    """Look whether everything is at work."""
    return watchdog.look()


@shared_task(name="opsdesk.drill_reversals")
def drill_reversals() -> int:
    """Take everything back in the sandbox once a day, to know that it still can be."""
    return running.run_if_due()


@shared_task(name="opsdesk.forget_sign_ins")
def forget_sign_ins() -> int:
    """Throw away sessions that are over, and tries to sign in that no count asks for any more."""
    call_command("clearsessions")
    return guessing.forget_old_tries()


@shared_task(name="opsdesk.keep_exports")
def keep_exports() -> int:
    """Find exports that lost their job, and remove files whose time is over."""
    exporting.wake_stale()
    return exporting.remove_expired()
