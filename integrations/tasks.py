"""The outside's doors for Celery: the message says when to look, the rows say at what."""

import time

from celery import shared_task

from integrations import mirroring, notices, sending
from integrations.reconciliation import asking, running
from opsdesk.lib import queue

_LOOK_SECONDS = 2.0


@shared_task(name="integrations.send_due")
def send_due() -> int:
    """Send, look up and verify actions whose time has come, and read payments again of which news arrived."""
    started, sent = time.monotonic(), 0
    while True:
        looked = mirroring.reread_due() + sending.send_due()
        sent += looked
        if not looked:
            return sent
        if time.monotonic() - started > _LOOK_SECONDS:
            queue.ring("integrations.send_due")
            return sent


@shared_task(name="integrations.deliver_notices")
def deliver_notices() -> int:
    """Hand due mails to the mail server."""
    started, tried = time.monotonic(), 0
    while found := notices.deliver_due():
        tried += found
        if time.monotonic() - started > _LOOK_SECONDS:
            queue.ring("integrations.deliver_notices")
            break
    return tried


# Longer than other tasks may take, shorter than the broker waits before it gives the message to another worker.
@shared_task(name=asking.TASK, soft_time_limit=270, time_limit=285)
def reconcile() -> int:
    """Ask for the reconciliations whose day has come, and carry out what is due."""
    asking.ask_what_is_due()
    return running.run_due()
