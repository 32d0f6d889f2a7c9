"""Closing entries in batches. Writers only insert and never wait: the sealer waits for them.

Keys are drawn in order and committed in any. So the newest key that can be seen is marked together with the number
of a transaction begun afterwards: whoever drew a lower key has a lower number, because the trigger
`numbered_before_its_keys` gives each writer its number before its first key. Once every transaction with a lower
number is over, what is not there up to the mark never will be, and these entries are sealed.

So is what the triggers took down, in a chain of its own: whoever changed a row has a number before the trigger draws
a key. Each seal over entries names the newest head of that chain, so one head outside covers both.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from auditlog.models import Change, ChangeSeal, Entry, Mark, Seal
from auditlog.seals.form import (
    CHANGE_LEAVES,
    FORM,
    LEAVES,
    NOTHING_BEFORE,
    WITH_ERASURES,
    hashes,
    head_of,
    line_of,
    line_over_changes,
)
from auditlog.seals.merkle import root_of
from opsdesk.lib import clock

MOST_IN_ONE = 4096
# Two beats that seal at once would make one chain all the same; the lock only saves the second one's work.
_LOCK = 0x5EA1
# Half of what a task may take.
_SECONDS = 20.0
# What a seal holds, after one key and up to another: how many, the last of them, and their hashes.
_ENTRIES = (
    f"SELECT count(*), max(e.id), {LEAVES} FROM "  # noqa: S608 - fixed text
    f"(SELECT * FROM auditlog_entry WHERE id > %s AND id <= %s ORDER BY id LIMIT %s) e {WITH_ERASURES}"
)
_CHANGES = (
    f"SELECT count(*), max(c.id), {CHANGE_LEAVES} FROM "  # noqa: S608 - fixed text
    "(SELECT * FROM auditlog_change WHERE id > %s AND id <= %s ORDER BY id LIMIT %s) c"
)
AnySeal = TypeVar("AnySeal", Seal, ChangeSeal)


def seal(*, seconds: float = _SECONDS) -> int:
    """Close what is settled, then mark what comes next; returns how many entries were closed."""
    begin, closed = time.monotonic(), 0
    mark = _settled()
    if mark is not None:
        # What the database saw comes first, so that the seals over entries name its newest head.
        _close_changes(mark.last_change_id, end=begin + seconds / 2)
        while (made := close_next(mark.last_id)) is not None:
            closed += made.count
            if time.monotonic() > begin + seconds:
                return closed
    _mark(anew=mark is not None)
    return closed


def _close_changes(up_to: int, *, end: float) -> None:
    """Close what the database saw up to that key, or until the time is over: the next beat goes on."""
    while close_next_changes(up_to) is not None:
        if time.monotonic() > end:
            return


@transaction.atomic
def close_next_changes(up_to: int) -> ChangeSeal | None:
    """Make the next seal over changes up to that key, all of which must be settled; None when nothing is left to do."""
    return _close(ChangeSeal(), _CHANGES, line_over_changes, up_to)


@transaction.atomic
def close_next(up_to: int) -> Seal | None:
    """Make the next seal over entries up to that key, all of which must be settled; None when nothing is left to do."""
    seen = ChangeSeal.objects.defer("leaves").first()
    made = Seal(form=FORM, changes_number=seen.number if seen else 0, changes_head=seen.head if seen else None)
    return _close(made, _ENTRIES, line_of, up_to)


def _close(made: AnySeal, rows: str, line: Callable[[AnySeal], str], up_to: int) -> AnySeal | None:
    """Fill and save the seal after the newest one of its chain."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return None
        last: Any = type(made)._default_manager.defer("leaves").first()
        made.after_id = last.last_id if last else 0
        cursor.execute(rows, [made.after_id, up_to, MOST_IN_ONE])
        made.count, made.last_id, made.leaves = cursor.fetchone()
    if not made.count:
        return None
    made.number = last.number + 1 if last else 1
    made.previous = bytes(last.head) if last else NOTHING_BEFORE
    made.root = root_of(hashes(made.leaves))
    made.sealed_at = clock.of_database()
    made.head = head_of(line(made))
    made.save(force_insert=True)
    return made


def _settled() -> Mark | None:
    """The mark up to which no transaction can bring anything any more; None while some still can."""
    mark = Mark.objects.first()
    return mark if mark is not None and mark.horizon <= _oldest_under_way() else None


def _oldest_under_way() -> int:
    """The lowest number of a transaction that is not over, in any database of the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def _mark(*, anew: bool) -> None:
    """Mark the newest entry and the newest change, unless a mark still waits for transactions.

    `anew`: the one before waits no longer, even where the time was too short to close all below it.
    """
    newest = _newest(Entry.objects.order_by("-pk").values_list("pk", flat=True))
    seen = _newest(Change.objects.order_by("-pk").values_list("pk", flat=True))
    sealed = _newest(Seal.objects.values_list("last_id", flat=True))
    closed = _newest(ChangeSeal.objects.values_list("last_id", flat=True))
    if newest <= sealed and seen <= closed:
        return
    # The number is drawn now, after the newest keys were read, by a transaction of its own.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        number = cursor.fetchone()[0]
        ahead = Q(last_id__gt=sealed) | Q(last_change_id__gt=closed)
        if anew or not Mark.objects.filter(ahead, horizon__lte=number).exists():
            found = {"last_id": newest, "last_change_id": seen, "horizon": number, "set_at": Now()}
            Mark.objects.update_or_create(pk=1, defaults=found)


def _newest(keys: "QuerySet[Any, int]") -> int:
    return keys.first() or 0
