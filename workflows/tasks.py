"""The engine's doors for Celery: the message says when to look, the rows say at what."""

import time

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from opsdesk.lib import queue
from workflows import dry_run_jobs, replaying
from workflows.bulk import jobs, services
from workflows.engine import intake, repairing, running, turns
from workflows.recovery import tide
from workflows.triggers import firing

log = structlog.get_logger(__name__)
# A look ends after this long, so that other kinds of work get their turn.
_LOOK_SECONDS = 2.0
# Longer than the slowest asking of a gateway takes, shorter than a lease: nobody works on what may be somebody else's.
_TIME_LIMITS = {"soft_time_limit": 45, "time_limit": 55}


@shared_task(name="workflows.tick", **_TIME_LIMITS)
def tick() -> int:
    """Take in events and advance due runs until nothing is due; returns how many were looked at."""
    started, looked = time.monotonic(), 0
    while True:
        found = intake.take_in()
        runs = running.claim()
        looked += found + len(runs)
        try:
            running.advance(runs)
        except SoftTimeLimitExceeded:
            log.warning("look_came_to_no_end", runs=[run.pk for run in runs])
            repairing.let_go(runs)
            queue.ring("workflows.tick")
            return looked
        # Runs that are tried again come after those that were never looked at.
        tried = replaying.go_on() if not found and not runs else 0
        if not found and not runs and not tried:
            return looked
        if time.monotonic() - started > _LOOK_SECONDS:
            queue.ring("workflows.tick")
            return looked


@shared_task(name="workflows.fire_triggers")
def fire_triggers() -> int:
    """Look at schedules, crossings and ages; what fires rings for itself."""
    return firing.look()


@shared_task(name="workflows.tide")
def raise_tide() -> bool:
    """Raise the mark by which a restored database is noticed; says whether it is one."""
    return tide.look()


@shared_task(name="workflows.sweep")
def sweep() -> int:
    """Give back what dead workers held, wake who waits for a turn nobody has, and find errands that lost their job."""
    returned = repairing.sweep() + turns.wake_stranded()
    jobs.wake_stale()
    dry_run_jobs.wake_stale()
    services.discard_old_previews()
    if returned:
        queue.ring("workflows.tick")
    return returned
