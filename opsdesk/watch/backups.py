"""Whether there are backups that can be put back; for a database given by URL, whether its journal is archived."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min

from opsdesk.lib.wording import span
from opsdesk.models import Backup
from opsdesk.watch.findings import Finding, Moment

# A backup that nobody has put back for so long may as well be none.
TRIED_WITHIN = timedelta(days=35)
# A desk that was just started is left alone until somebody had the time to look.
SETTLED = timedelta(minutes=2)
# The server tries again and again; an archive that is away for a moment is no news.
ARCHIVED_WITHIN = timedelta(minutes=5)
_ARCHIVER = """
    SELECT last_archived_wal, last_archived_time, last_failed_wal, last_failed_time
      FROM pg_stat_archiver WHERE current_setting('archive_mode') <> 'off'
"""


def is_watched() -> bool:
    """Whether this desk is backed up by `manage.py backup`: its database is the embedded one, and nobody said no."""
    return settings.BACKUP_HOURS > 0 and not os.environ.get("DATABASE_URL")


def archives() -> bool:
    """Whether the database hands its journal to an archive."""
    return _archiver() is not None


def backup_late(moment: Moment) -> Iterator[Finding]:
    """The last good backup is too old, or there never was one on a desk that is as old."""
    if not is_watched():
        return
    last = Backup.objects.filter(ended_at__isnull=False, trouble="").first()
    since = last.begun_at if last is not None else _begun()
    if moment.now - since > timedelta(hours=settings.BACKUP_HOURS) and moment.silent(None) > SETTLED:
        was = f"The last backup is from {span(moment.now - since)} ago" if last else "This desk was never backed up"
        yield Finding(
            "backup",
            f"{was}. Run `manage.py backup`, and have the system run it every night; docs/restore.md shows how.",
        )


def backup_failed(moment: Moment) -> Iterator[Finding]:
    """The last try to write one failed."""
    last = Backup.objects.filter(ended_at__isnull=False).first()
    if last is not None and last.trouble:
        yield Finding(
            "backup", f"The backup of {span(moment.now - last.begun_at)} ago could not be written: {last.trouble}"
        )


def backup_untried(moment: Moment) -> Iterator[Finding]:
    """There are backups, and none was put back for too long, or the last trial failed."""
    last = Backup.objects.filter(tried_at__isnull=False).order_by("-tried_at").first()
    if last is not None and last.tried_trouble:
        yield Finding("trial", f"The backup {last} could not be put back: {last.tried_trouble}")
        return
    first = Backup.objects.filter(trouble="", ended_at__isnull=False).order_by("pk").first()
    since = last.tried_at if last is not None else first.begun_at if first is not None else None
    if since is not None and is_watched() and moment.now - since > TRIED_WITHIN:
        yield Finding(
            "trial",
            f"No backup was put back for {span(moment.now - since)}. Run `manage.py restore --on-trial` with the "
            "newest; it changes nothing of the desk.",
        )


def archive_broken(moment: Moment) -> Iterator[Finding]:
    """The database's server could not hand its journal to the archive, and has not done so since."""
    row = _archiver()
    if row is None:
        return
    _, archived, wal, failed = row
    if failed is not None and (archived is None or failed > archived):
        waits_since = archived or failed
        if moment.now - waits_since > ARCHIVED_WITHIN:
            yield Finding(
                "archive",
                f"The database could not archive {wal} of its journal; nothing was archived for "
                f"{span(moment.now - waits_since)}. What happens now would be lost with its disk: look at "
                "archive_command and at the room in the archive.",
            )


def _begun() -> datetime:
    """Since when this database is a desk."""
    began: datetime = MigrationRecorder.Migration.objects.aggregate(at=Min("applied"))["at"]
    return began


def _archiver() -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(_ARCHIVER)
        found: tuple[Any, ...] | None = cursor.fetchone()
    return found
