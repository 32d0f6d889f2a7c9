"""Checks of the work: queues that grow, workflows that usually begin by now, webhooks refused for a clock."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from integrations.models import Endpoint
from opsdesk.lib.wording import span
from opsdesk.watch import due
from opsdesk.watch.findings import Finding, Moment
from workflows.models import Recovery, Run, Workflow
from workflows.states import VersionState

# A lease of a minute, the sweep, and a little: whatever a dead worker held is due for so long and no longer.
LATE = timedelta(seconds=100)
# A workflow is quiet when in the window nothing began, and in each of the last four weeks at least so many did.
WEEKS, USUAL = 4, 5
WINDOWS = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1))
# A refused webhook is told of for this long.
REFUSED_LATELY = timedelta(minutes=15)


def queues_grow(moment: Moment) -> Iterator[Finding]:
    """Kinds of due rows of which the oldest waits for longer than any trouble of one worker lasts."""
    for queue in due.QUEUES:
        depth = due.depth(queue)
        if depth.lag(moment.now) > LATE:
            yield Finding(
                f"queue of {queue.name}",
                f"{depth.words} {queue.label}, the oldest for {span(depth.lag(moment.now))}. Look whether workers for "
                f"the queue {queue.worked_off_by} run; if they do and it still grows, start more of them.",
            )


def workflows_quiet(moment: Moment) -> Iterator[Finding]:
    """Workflows of which by this hour of the week runs usually have begun, and none has."""
    running = Workflow.objects.filter(
        enabled=True, organization__acting_enabled=True, versions__state=VersionState.PUBLISHED
    ).select_related("organization")
    for workflow in running:
        found = missing(workflow, Run.objects.filter(workflow=workflow), moment.now)
        if found is not None:
            window, least = found
            yield Finding(
                f"workflow {workflow.pk}",
                f"No run of “{workflow.name}” has begun for {span(window)}. At this hour of the week at least {least} "
                f"did in each of the last {WEEKS} weeks. Look whether its source still sends (Connections), and "
                "whether events were set aside (Failures, Quarantined events). On a holiday, say so here.",
                workflow.organization,
            )


def missing(workflow: Workflow, runs: QuerySet[Run], now: datetime) -> tuple[timedelta, int] | None:
    """The window in which none of them began, and how few at least did in the weeks before; None when all is well.

    Weeks are counted on the clock on the wall, so that a change to summer time moves nothing.
    """
    zone = ZoneInfo(workflow.organization.time_zone)
    wall = now.astimezone(zone)
    for window in WINDOWS:
        if _began(runs, now - window, now):
            return None
        usual = []
        for week in range(1, WEEKS + 1):
            end = (wall.replace(tzinfo=None) - timedelta(weeks=week)).replace(tzinfo=zone)
            usual.append(_began(runs, end - window, end))
            if usual[-1] < USUAL:
                break
        else:
            return window, min(usual)
    return None


def _began(runs: QuerySet[Run], after: datetime, until: datetime) -> int:
    """How many runs began in a stretch of time, counted no further than is asked about."""
    found = runs.filter(started_at__gt=after, started_at__lte=until).order_by("started_at")
    return len(found.values_list("pk", flat=True)[: 10 * USUAL])


def recovering(moment: Moment) -> Iterator[Finding]:
    """Organizations that send nothing because the database was put back."""
    for recovery in Recovery.objects.open().select_related("organization"):
        yield Finding(
            f"recovery {recovery.pk}",
            f"Nothing is sent since {recovery.begun_at:%Y-%m-%d %H:%M} UTC. {recovery.reason} An admin reads what the "
            "gateways did meanwhile and signs it (Reconciliation, Recovery).",
            recovery.organization,
        )


def webhooks_refused(moment: Moment) -> Iterator[Finding]:
    """Endpoints whose signed webhooks were refused because of their time."""
    lately = Endpoint.objects.filter(refused_at__gt=moment.now - REFUSED_LATELY)
    for endpoint in lately.select_related("organization", "connection"):
        skew = timedelta(seconds=endpoint.refused_skew)
        side = "ahead of" if skew > timedelta(0) else "behind"
        yield Finding(
            f"endpoint {endpoint.pk}",
            f"Signed webhooks of {endpoint.connection} at {endpoint} are refused: they were signed {span(abs(skew))} "
            f"{side} our clock, and five minutes is the most. Compare the clock of this host and of the sender with "
            "NTP; the sender repeats what was refused.",
            endpoint.organization,
        )
