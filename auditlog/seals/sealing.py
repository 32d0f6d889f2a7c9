"""Closing entries in batches. Writers only insert and never wait: the sealer waits for them.

Keys are drawn in order and committed in any. So the newest key that can be seen is marked together with the number
of a transaction begun afterwards: whoever drew a lower key has a lower number, because the trigger
`numbered_before_its_keys` gives each writer its number before its first key. Once every transaction with a lower
number is over, what is not there up to the mark never will be, and these entries are sealed.
"""

import time

from django.db import connection, transaction
from django.db.models.functions import Now

from auditlog.models import Entry, Mark, Seal
from auditlog.seals.form import FORM, LEAVES, NOTHING_BEFORE, WITH_ERASURES, hashes, head_of, line_of
from auditlog.seals.merkle import root_of
from opsdesk.lib import clock

MOST_IN_ONE = 4096
# Two beats that seal at once would make one chain all the same; the lock only saves the second one's work.
_LOCK = 0x5EA1
# Half of what a task may take.
_SECONDS = 20.0


def seal(*, seconds: float = _SECONDS) -> int:
    """Close what is settled, then mark what comes next; returns how many entries were closed."""
    end, closed = time.monotonic() + seconds, 0
    limit = _settled_up_to()
    while limit is not None:
        if time.monotonic() > end:
            return closed
        made = close_next(limit)
        if made is None:
            break
        closed += made.count
    _mark()
    return closed


@transaction.atomic
def close_next(up_to: int) -> Seal | None:
    """Make the next seal over entries up to that key, all of which must be settled; None when nothing is left to do."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return None
        last = Seal.objects.defer("leaves").first()
        after = last.last_id if last else 0
        cursor.execute(
            f"SELECT count(*), max(e.id), {LEAVES} FROM (SELECT * FROM auditlog_entry WHERE id > %s AND id <= %s "  # noqa: S608 - fixed text
            f"ORDER BY id LIMIT %s) e {WITH_ERASURES}",
            [after, up_to, MOST_IN_ONE],
        )
        count, newest, leaves = cursor.fetchone()
    if not count:
        return None
    made = Seal(
        number=last.number + 1 if last else 1,
        form=FORM,
        after_id=after,
        last_id=newest,
        count=count,
        leaves=leaves,
        root=root_of(hashes(leaves)),
        previous=bytes(last.head) if last else NOTHING_BEFORE,
        sealed_at=clock.of_database(),
    )
    made.head = head_of(line_of(made))
    made.save(force_insert=True)
    return made


def _settled_up_to() -> int | None:
    """The key up to which no transaction can bring anything any more; None while some still can."""
    mark = Mark.objects.first()
    return mark.last_id if mark is not None and mark.horizon <= _oldest_under_way() else None


def _oldest_under_way() -> int:
    """The lowest number of a transaction that is not over, in any database of the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def _mark() -> None:
    """Mark the newest entry, unless a mark still waits for transactions."""
    newest = Entry.objects.order_by("-pk").values_list("pk", flat=True).first()
    sealed = Seal.objects.values_list("last_id", flat=True).first() or 0
    if newest is None or newest <= sealed:
        return
    # The number is drawn now, after the newest entry was read, by a transaction of its own.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        number = cursor.fetchone()[0]
        waiting = Mark.objects.filter(last_id__gt=sealed, horizon__lte=number).first()
        if waiting is None:
            Mark.objects.update_or_create(pk=1, defaults={"last_id": newest, "horizon": number, "set_at": Now()})
