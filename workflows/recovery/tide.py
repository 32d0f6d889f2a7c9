"""Noticing that the database was put back: its mark is compared with the copies outside, and its cluster with the last.

The mark rises every few seconds (the clock does that), and is looked at before the first work on each new connection
to the database, because whatever puts a database back ends all connections to it.
"""

import threading
from dataclasses import dataclass
from functools import partial

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now

from opsdesk.lib.database import is_lost
from workflows.models import Tide
from workflows.recovery import mirrors, mode
from workflows.recovery.mirrors import Known
from workflows.states import RecoveryCause

log = structlog.get_logger(__name__)
_seen = threading.local()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which PostgreSQL cluster this is, and the how-manieth life of it; None where the server does not tell."""

    system: int | None
    timeline: int | None


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Why the database is held to be an earlier one, in words; `lossless` when nothing seems to be missing."""

    cause: RecoveryCause
    words: str
    lossless: bool = False


def look_when_connected_anew() -> None:
    """Look, unless this thread has done so over the very connection that it has now."""
    connection.ensure_connection()
    if getattr(_seen, "connection", None) is not connection.connection:
        look()
        _seen.connection = connection.connection


@transaction.atomic
def look() -> bool:
    """Raise the mark; begin a recovery where the database is an earlier one. True when it did."""
    tide = _locked()
    known, cluster = mirrors.highest(tide.desk), cluster_now()
    suspicion = suspect(tide, known, cluster)
    if suspicion is not None:
        mode.begin_everywhere(
            suspicion.cause,
            suspicion.words,
            since=tide.moved_at,
            # A failover that lost nothing is asked about once, whatever a restore asks for.
            signatures=1 if suspicion.lossless else None,
        )
    elif known.number is None:
        # The first mark is known outside before anybody else can see it: two processes begin at the same moment.
        mirrors.keep(tide.desk, tide.number)
    # From here on the mark is above every copy again, so that it is noticed once.
    number = max(tide.number, known.number or 0) + 1
    Tide.objects.filter(pk=tide.pk).update(
        number=number, moved_at=Now(), system=cluster.system, timeline=cluster.timeline
    )
    transaction.on_commit(partial(mirrors.keep, tide.desk, number))
    return suspicion is not None


def suspect(tide: Tide, known: Known, cluster: Cluster) -> Suspicion | None:
    """What speaks for a restore: the mark as the database has it, as its copies have it, and the cluster as it is."""
    at = f"{tide.moved_at:%Y-%m-%d %H:%M:%S} UTC"
    if known.number is not None and known.number > tide.number:
        return Suspicion(
            RecoveryCause.TIDE,
            f"The database is from {at}: its mark is {tide.number}, and {known.number} was seen outside before.",
        )
    moved = [
        f"another {what} ({now} instead of {before})"
        for what, before, now in (
            ("cluster", tide.system, cluster.system),
            ("timeline", tide.timeline, cluster.timeline),
        )
        if before is not None and now is not None and before != now
    ]
    if moved:
        loss = (
            "nothing of what was seen outside is missing"
            if known.number is not None
            else "its mark is known nowhere else"
        )
        return Suspicion(
            RecoveryCause.CLUSTER,
            f"The database runs on {' and '.join(moved)}: a failover, an upgrade or a restore. By its mark {loss}.",
            lossless=known.number is not None,
        )
    if known.number is None and known.certain and tide.number > 0:
        return Suspicion(
            RecoveryCause.UNMARKED,
            f"The database is from {at} and its mark is known nowhere else: it was moved here, or restored.",
        )
    return None


def cluster_now() -> Cluster:
    """The identity of the server; asked for each by itself, because a provider may deny either."""
    return Cluster(
        _ask("SELECT system_identifier FROM pg_control_system()"),
        # The control file learns of a promotion only with the next checkpoint; the name of the log does at once.
        _ask("SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint"),
    )


def _ask(question: str) -> int | None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(question)
            return int(cursor.fetchone()[0])
    except DatabaseError as refusal:
        if is_lost(refusal):
            raise
        log.debug("cluster_not_told", question=question, error=str(refusal))
        return None


def _locked() -> Tide:
    Tide.objects.bulk_create([Tide(pk=1)], ignore_conflicts=True)
    return Tide.objects.select_for_update().get(pk=1)
