"""The watchdog: looks at rows again and again and turns what it finds into alerts.

Every web process and a periodic task call `look`; one of them has the turn. So it goes on when the workers, the
broker or the clock are dead, and when every web process is.
"""

from datetime import timedelta

import structlog
from django.db import transaction

from opsdesk.lib.database import is_lost
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch import backups, drills, erasures, processes, refusals, seals, sign_ins, triggers, work
from opsdesk.watch.findings import Check, Moment
from opsdesk.watch.heartbeats import database_now
from workflows.alerts import clear_alert, raise_alert
from workflows.models import Alert

log = structlog.get_logger(__name__)
NAME = "watchdog"
EVERY = timedelta(seconds=15)
# After such a gap nobody knows what happened meanwhile: silence is counted anew.
GAP = timedelta(minutes=2)
CHECKS: tuple[Check, ...] = (
    Check("beat_stopped", "The clock stands still", processes.beat_stopped),
    Check("worker_died", "A worker is gone", processes.workers_died),
    Check("queue_unserved", "Nobody works off a queue", processes.queues_unserved),
    Check("task_silent", "Periodic work is not done", processes.tasks_silent),
    Check("clock_skew", "Two clocks differ", processes.clocks_differ),
    Check("queue_grows", "A queue grows", work.queues_grow),
    Check("workflow_quiet", "A workflow has not begun as usual", work.workflows_quiet),
    Check("recovering", "Nothing is sent: the desk recovers", work.recovering),
    Check("trigger_silent", "A trigger has not fired", triggers.triggers_silent),
    Check("webhooks_refused", "Webhooks are refused for their time", work.webhooks_refused),
    Check("reversals_rotten", "Something can no longer be taken back", drills.reversals_rotten),
    Check("log_broken", "The audit log is broken", seals.log_broken),
    Check("seals_late", "The audit log is not sealed", seals.seals_late),
    Check("heads_late", "The head of the audit log stays inside", seals.heads_late),
    Check("verification_late", "The audit log is not verified", seals.verification_late),
    Check("backup_late", "There is no backup of late", backups.backup_late),
    Check("backup_failed", "A backup could not be written", backups.backup_failed),
    Check("backup_untried", "Nobody knows whether a backup can be put back", backups.backup_untried),
    Check("archive_broken", "The journal of the database is not archived", backups.archive_broken),
    Check("erased_are_back", "Somebody who was erased is in the database again", erasures.erased_are_back),
    Check("erasures_wait", "Somebody is still to be erased", erasures.erasures_wait),
    Check("overloaded", "The desk turns requests away", refusals.overloaded),
    Check("sign_in_spray", "Passwords are guessed on many accounts", sign_ins.sprayed),
)


def look() -> int:
    """Look at everything, unless somebody has just done so; returns how many alerts stand."""
    moment = take_turn()
    if moment is None:
        return 0
    standing = sum(_carry_out(check, moment) for check in CHECKS)
    processes.forget_the_dead(moment)
    return standing


@transaction.atomic
def take_turn() -> Moment | None:
    """Have the turn and know the moment; None when another has it or had it just now."""
    now = database_now()
    Heartbeat.objects.bulk_create([Heartbeat(kind=HeartbeatKind.WATCHDOG, name=NAME)], ignore_conflicts=True)
    row = Heartbeat.objects.filter(kind=HeartbeatKind.WATCHDOG, name=NAME).select_for_update(skip_locked=True).first()
    if row is None:
        return None
    silence = row.silent_for(now)
    if abs(silence) < EVERY and row.host_clock is not None:
        return None
    row.started_at = now if silence > GAP else row.started_at
    row.last_seen_at = row.host_clock = now
    row.save(update_fields=["started_at", "last_seen_at", "host_clock"])
    return Moment(now, row.started_at)


def _carry_out(check: Check, moment: Moment) -> int:
    """Raise what is found and clear what is not any more; a check that breaks leaves its alerts as they are."""
    try:
        found = {(finding.organization, finding.subject): finding.words for finding in check.find(moment)}
        for (organization, subject), words in found.items():
            raise_alert(organization, check.kind, subject, words)
        for alert in Alert.objects.open().filter(kind=check.kind).select_related("organization"):
            if (alert.organization, alert.subject) not in found:
                clear_alert(alert.organization, check.kind, alert.subject)
    except Exception as error:
        if is_lost(error):
            raise
        log.exception("check_broke", check=check.kind)
        return 0
    return len(found)
