"""Checks of the desk's own processes: the clock, the workers, the periodic tasks, the hosts' clocks."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta

from opsdesk.celery import app
from opsdesk.lib.wording import span
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch.findings import Finding, Moment

# Six beats that did not come.
SILENT = timedelta(seconds=60)
TASK_SILENT = timedelta(seconds=90)
# A process that was taken away without a word is missed for this long.
FORGOTTEN = timedelta(days=1)
# Far less than the five minutes that signatures of webhooks bear, far more than two hosts with NTP ever differ.
MOST_SKEW = timedelta(seconds=10)
JOBS_QUEUE = "default"
_WORDS = {
    "workflows.tick": "no event is taken in and no run goes on",
    "workflows.fire_triggers": "no schedule, crossing or age begins a run",
    "workflows.sweep": "what a dead worker held is not given back",
    "integrations.send_due": "nothing is sent to outside systems and nothing sent is verified",
    "integrations.deliver_notices": "no mail is handed over",
    "approvals.climb_ladders": "nobody is reminded and nothing is escalated",
    "approvals.give_out": "cases of people who are away wait, and those of teams with a cap are given to nobody",
    "auditlog.hand_out": "no head of the audit log leaves the desk",
    "auditlog.retain": "records stay longer than the policies let them be kept",
    "auditlog.seal": "what is done is written down and not sealed",
    "auditlog.verify": "nobody looks whether the audit log is whole",
    "approvals.settle_due": "no vote takes effect and no objection window ends",
}


def beat_stopped(moment: Moment) -> Iterator[Finding]:
    """No process has rung for periodic work."""
    last = Heartbeat.objects.of(HeartbeatKind.BEAT).order_by("-last_seen_at").first()
    silence = moment.silent(last.last_seen_at if last else None)
    if silence > SILENT:
        yield Finding(
            "beat",
            f"Nothing has rung for periodic work for {span(silence)}: timers, retries and mails wait. Start beat again"
            f"{f' (it last ran on {last.host})' if last else ''}; if it runs, look whether it reaches the broker.",
        )


def workers_died(moment: Moment) -> Iterator[Finding]:
    """Workers and jobs processes that fell silent without having been asked to end, and that nobody replaced."""
    groups: dict[tuple[str, tuple[str, ...]], list[Heartbeat]] = defaultdict(list)
    rows = Heartbeat.objects.of(HeartbeatKind.WORKER, HeartbeatKind.JOBS)
    for row in rows.filter(last_seen_at__gt=moment.now - FORGOTTEN).order_by("started_at"):
        groups[row.kind, tuple(sorted(row.queues))].append(row)
    for (_, queues), members in groups.items():
        for row in _unreplaced(members, moment):
            yield Finding(
                row.name,
                f"The {row.get_kind_display()} {row.name} has not been seen for {span(row.silent_for(moment.now))} and "
                f"no other took its place; it worked off {', '.join(queues) or 'nothing'}. Start it again on "
                f"{row.host}. If it was taken away for good, this goes by itself after a day.",
            )


def _unreplaced(members: list[Heartbeat], moment: Moment) -> list[Heartbeat]:
    """Those that died and for which no other of the same queues was started afterwards; one start replaces one."""
    dead = [row for row in members if row.ended_at is None and moment.silent(row.last_seen_at) > SILENT]
    starts = sorted(row.started_at for row in members)
    missing = []
    for row in sorted(dead, key=lambda each: each.last_seen_at):
        later = next((start for start in starts if start >= row.last_seen_at), None)
        if later is None:
            missing.append(row)
        else:
            starts.remove(later)
    return missing


def queues_unserved(moment: Moment) -> Iterator[Finding]:
    """Queues from which no living process takes anything."""
    living = Heartbeat.objects.running().of(HeartbeatKind.WORKER, HeartbeatKind.JOBS)
    served: dict[str, list[Heartbeat]] = defaultdict(list)
    for row in living:
        for queue in row.queues:
            served[queue].append(row)
    for queue in (*(each.name for each in app.conf.task_queues), JOBS_QUEUE):
        last = max((row.last_seen_at for row in served[queue]), default=None)
        silence = moment.silent(last)
        if silence > SILENT:
            process = "jobs process" if queue == JOBS_QUEUE else "worker"
            consequence = "exports and bulk work wait" if queue == JOBS_QUEUE else "its automations wait"
            yield Finding(
                f"queue {queue}",
                f"No {process} takes from the queue {queue} for {span(silence)}: {consequence}. Start one.",
            )


def tasks_silent(moment: Moment) -> Iterator[Finding]:
    """Periodic tasks that have not been done to their end for too long."""
    done = {row.name: row.last_seen_at for row in Heartbeat.objects.of(HeartbeatKind.TASK)}
    for entry in app.conf.beat_schedule.values():
        task = entry["task"]
        silence = moment.silent(done.get(task))
        if silence > max(TASK_SILENT, timedelta(seconds=3 * float(entry["schedule"]))):
            yield Finding(
                f"task {task}",
                f"{task} has not been done for {span(silence)}: {_WORDS.get(task, 'what it does is left undone')}. "
                "Look whether beat and a worker run, and in the log of the workers for its error.",
            )


def clocks_differ(moment: Moment) -> Iterator[Finding]:
    """Hosts whose clock is not the database's."""
    fresh = Heartbeat.objects.running().filter(last_seen_at__gt=moment.now - SILENT, host_clock__isnull=False)
    worst: dict[str, timedelta] = {}
    for row in fresh.exclude(kind=HeartbeatKind.TASK):
        skew = (row.host_clock or row.last_seen_at) - row.last_seen_at
        if abs(skew) > abs(worst.get(row.host, timedelta(0))):
            worst[row.host] = skew
    for host, skew in worst.items():
        if abs(skew) > MOST_SKEW:
            side = "ahead of" if skew > timedelta(0) else "behind"
            yield Finding(
                f"host {host}",
                f"The clock of {host} is {span(abs(skew))} {side} the database's. Signed webhooks are refused when it "
                "is five minutes off. Set it by NTP (timedatectl set-ntp true).",
            )


def forget_the_dead(moment: Moment) -> int:
    """Remove rows of processes that ended or fell silent more than a day ago."""
    processes: Iterable[str] = (HeartbeatKind.WEB, HeartbeatKind.WORKER, HeartbeatKind.BEAT, HeartbeatKind.JOBS)
    gone, _ = Heartbeat.objects.of(*processes).filter(last_seen_at__lt=moment.now - FORGOTTEN).delete()
    return gone
