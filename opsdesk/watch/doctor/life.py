"""What the desk does: its processes, its queues, its leases, the webhooks it gets."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from django.db.models import Max
from django.db.models.functions import Now

from auditlog.seals import handing
from integrations.models import Action, Endpoint
from integrations.states import ActionState
from opsdesk.lib.wording import span
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch import backups, erasures, processes, seals, work
from opsdesk.watch.doctor.opinions import Opinion, good, noted, wrong
from opsdesk.watch.findings import Finding, Moment
from opsdesk.watch.heartbeats import database_now
from workflows.models import Alert, Event, Run
from workflows.states import RunState

# After this long the sweep must have found a lease that ran out.
SWEPT_WITHIN = timedelta(seconds=60)
# Where the newest events of an endpoint are looked for; one that is silent for longer than that is silent.
LATEST_EVENTS = 50_000


def _moment() -> Moment:
    """Now, as if somebody had watched for ever: what was never seen is missing."""
    now = database_now()
    return Moment(now, now - processes.FORGOTTEN)


def _told(find: Callable[[Moment], Iterable[Finding]], well: str) -> Iterator[Opinion]:
    """What a check of the watchdog finds, as opinions; its words already say what to do."""
    found = [wrong(finding.words, "") for finding in find(_moment())]
    yield from found or [good(well)]


def clock_goes() -> Iterator[Opinion]:
    """Whether beat rings."""
    yield from _told(processes.beat_stopped, "Beat rings.")
    beats = Heartbeat.objects.running().of(HeartbeatKind.BEAT).filter(last_seen_at__gt=Now() - processes.SILENT)
    names = ", ".join(beats.order_by("name").values_list("name", flat=True))
    if "," in names:
        yield noted(f"More than one beat rings: {names}.", "One is enough; a second does no harm, and no good.")


def workers_live() -> Iterator[Opinion]:
    """Whether every queue is worked off, and nobody is missed."""
    alive = Heartbeat.objects.running().of(HeartbeatKind.WORKER, HeartbeatKind.JOBS)
    fresh = alive.filter(last_seen_at__gt=Now() - processes.SILENT)
    served = "; ".join(f"{row.get_kind_display()} {row.name}: {', '.join(row.queues)}" for row in fresh)
    yield from _told(processes.queues_unserved, f"Every queue is worked off ({served}).")
    yield from _told(processes.workers_died, "No worker is missed.")


def tasks_are_done() -> Iterator[Opinion]:
    """Whether each periodic task comes to its end."""
    yield from _told(processes.tasks_silent, "Every periodic task is done in its time.")


def hosts_agree() -> Iterator[Opinion]:
    """Whether the clocks of all hosts are right."""
    yield from _told(processes.clocks_differ, "The clocks of all hosts that run the desk agree.")


def nothing_is_stuck() -> Iterator[Opinion]:
    """Whether what is due is done."""
    yield from _told(work.queues_grow, "Nothing due waits for longer than it should.")


def leases_are_given_back() -> Iterator[Opinion]:
    """Whether what dead workers held was taken up again."""
    runs = Run.objects.filter(state=RunState.RUNNING, lease_until__lt=Now() - SWEPT_WITHIN).order_by("lease_until")
    held = list(runs.values_list("pk", flat=True)[:5])
    sending = Action.objects.filter(state=ActionState.SENDING, due_at__lt=Now() - SWEPT_WITHIN)
    lost = list(
        sending.filter(lease_until__lt=Now() - SWEPT_WITHIN).order_by("due_at").values_list("pk", flat=True)[:5]
    )
    if held:
        yield wrong(
            f"Runs are held by workers that are gone: {', '.join(map(str, held))} and maybe more.",
            "The sweep (workflows.sweep) gives them back: look whether beat and a worker run.",
        )
    if lost:
        yield wrong(
            f"Actions were being sent by workers that are gone: {', '.join(map(str, lost))} and maybe more.",
            "integrations.send_due looks them up: look whether beat and a worker for the queue actions run.",
        )
    if not held and not lost:
        yield good("No lease has run out without being taken up.")


def webhooks_arrive() -> Iterator[Opinion]:
    """When each endpoint last took something in, and whether something was refused for its time."""
    refused = list(work.webhooks_refused(_moment()))
    yield from (wrong(finding.words, "") for finding in refused)
    newest = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    endpoints = list(Endpoint.objects.filter(enabled=True).select_related("organization"))
    now = database_now()
    for endpoint in endpoints:
        last = (
            Event.objects.filter(pk__gt=newest - LATEST_EVENTS, source=str(endpoint))
            .order_by()
            .aggregate(at=Max("received_at"))["at"]
        )
        if last is None:
            yield noted(
                f"Nothing has arrived at {endpoint} lately, or ever.",
                f"Look at the sender's page of webhooks: its address must end in /hooks/{endpoint}/.",
            )
        else:
            yield good(f"{endpoint} last took in a webhook {span(now - last)} ago.")
    if not endpoints:
        yield noted("No endpoint is enabled: nothing arrives by itself.")


def log_is_sealed() -> Iterator[Opinion]:
    """Whether the audit log is sealed, its heads leave, and it was found to be whole."""
    yield from _told(seals.seals_late, "What is done is sealed in time.")
    yield from _told(seals.heads_late, f"Heads are handed to {', '.join(handing.configured()) or 'nobody'}.")
    if set(handing.configured()) <= {"file"}:
        yield noted(
            "Heads of the audit log go to a file only: whoever has this host and the database can make both anew.",
            "Set OPSDESK_HEADS_MAIL or OPSDESK_HEADS_WEBHOOK, or put OPSDESK_HEADS_FILE on another machine.",
        )
    yield from _told(seals.verification_late, "The audit log is verified every day.")
    yield from _told(seals.log_broken, "The audit log was whole when it was last looked at.")


def backups_are_there() -> Iterator[Opinion]:
    """Whether there is a backup of late, and whether one was put back, on trial at least."""
    if backups.is_watched():
        yield from _told(backups.backup_late, "There is a backup of late.")
        yield from _told(backups.backup_failed, "The last backup could be written.")
        yield from _told(backups.backup_untried, "A backup was put back of late, on trial or in earnest.")
    elif backups.archives():
        yield from _told(backups.archive_broken, "The database archives its journal.")
    else:
        yield noted(
            "How the database is backed up is not known here: it does not archive its journal by itself.",
            "Look whether its backups are made and can be put back; docs/restore.md says what the desk does then.",
        )


def erasures_are_done() -> Iterator[Opinion]:
    """Whether who is to be erased is erased, and stays so."""
    yield from _told(erasures.erased_are_back, "Nobody who was erased came back with a restore.")
    yield from _told(erasures.erasures_wait, "Nobody who is to be erased waits for it.")


def alerts_are_looked_after() -> Iterator[Opinion]:
    """Whether alerts stand that nobody looks after."""
    count = Alert.objects.unanswered().count()
    if count:
        yield noted(f"{count} alerts stand that nobody looks after.", "Open /alerts/.")
    else:
        yield good("No alert stands without somebody who looks after it.")
