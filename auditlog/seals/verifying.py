"""Finding the first broken place: the chain of seals, the entries below each, and heads that come from outside.

Whoever owns the tables can change entries and make all seals anew. That shows by a head that was handed outside before,
and by nothing else.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

from django.db import connection

from auditlog.models import ChangeSeal, Entry, Removal, Seal
from auditlog.seals.form import (
    CHANGE_LEAVES,
    FORMS,
    LEAVES,
    NOTHING_BEFORE,
    WITH_ERASURES,
    apart,
    hashes,
    head_of,
    line_of,
    line_over_changes,
)
from auditlog.seals.merkle import root_of

# The verb of entries by which retention says what it removed.
TOMBSTONE = "auditlog.entries.removed"


@dataclass(frozen=True, slots=True)
class Head:
    """A head as somebody outside has it; `head` in hexadecimal digits."""

    number: int
    head: str
    at: str


@dataclass(frozen=True, slots=True)
class Report:
    """How far a look came: `next_seal` is None at the end of the chain, `found` names the first broken place."""

    seals: int = 0
    entries: int = 0
    changes: int = 0
    heads: int = 0
    next_seal: int | None = None
    found: str = ""


def verify(heads: Iterable[Head] = (), *, begin: int = 1, seconds: float | None = None) -> Report:
    """Look from seal `begin` on until the end, the first broken place, or the end of the time."""
    end = None if seconds is None else time.monotonic() + seconds
    report = Report()
    for seal, before in _pairs(begin):
        if end is not None and time.monotonic() > end:
            return replace(report, next_seal=seal.number)
        found = next(_broken(seal, before), "")
        report = replace(report, seals=report.seals + 1, entries=report.entries + seal.count, found=found)
        if not found and seal.form > 1:
            report = _changes_under(report, seal, before.changes_number if before else 0)
        if report.found:
            return report
    newest = Seal.objects.defer("leaves").first()
    report = _changes_after(report, newest.changes_number if newest else 0)
    return report if report.found else _compare(report, sorted(heads, key=lambda each: each.number))


def _changes_under(report: Report, seal: Seal, after: int) -> Report:
    """Look at the seals over changes that this seal covers and the one before it does not."""
    report, reached = _look_at_changes(report, after, seal.changes_number)
    if report.found or seal.changes_number <= after:
        return report
    if reached is None or reached.number != seal.changes_number:
        return replace(
            report, found=f"Seal {seal.changes_number} over changes is missing: seal {seal.number} names it."
        )
    if bytes(reached.head) != bytes(seal.changes_head or b""):
        made_anew = f"Seal {reached.number} over changes is not the one that seal {seal.number} names: made anew."
        return replace(report, found=made_anew)
    return report


def _changes_after(report: Report, after: int) -> Report:
    """Look at the seals over changes that no seal over entries covers yet."""
    return _look_at_changes(report, after, None)[0]


def _look_at_changes(report: Report, after: int, up_to: int | None) -> tuple[Report, ChangeSeal | None]:
    """What is found below the seals over changes with numbers above `after`, and the last of these seals."""
    before = ChangeSeal.objects.filter(number__lte=after).defer("leaves").first()
    rows = ChangeSeal.objects.filter(number__gt=after).order_by("number")
    for seal in (rows if up_to is None else rows.filter(number__lte=up_to)).iterator(chunk_size=16):
        found = next(_broken_over_changes(seal, before), "")
        report = replace(report, changes=report.changes + seal.count, found=found)
        before = seal
        if found:
            break
    return report, before


def _broken_over_changes(seal: ChangeSeal, before: ChangeSeal | None) -> Iterator[str]:
    """What is wrong with a seal over changes and with what the database saw below it, the first thing first."""
    number, after = (before.number, before.last_id) if before else (0, 0)
    name = f"Seal {seal.number} over changes"
    if seal.number > number + 1:
        yield f"Seal {number + 1} over changes is missing: after seal {number} follows seal {seal.number}."
    if seal.after_id != after or bytes(seal.previous) != (bytes(before.head) if before else NOTHING_BEFORE):
        yield f"{name} does not follow seal {number}: one of the two was changed."
    if head_of(line_over_changes(seal)) != bytes(seal.head):
        yield f"{name} was changed: its head is not the one that follows from it."
    leaves = bytes(seal.leaves)
    if root_of(hashes(leaves)) != bytes(seal.root) or len(hashes(leaves)) != seal.count:
        yield f"{name} was changed: its hashes do not give its root."
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {CHANGE_LEAVES} FROM auditlog_change c WHERE c.id > %s AND c.id <= %s",  # noqa: S608 - fixed text
            [seal.after_id, seal.last_id],
        )
        present = bytes(cursor.fetchone()[0] or b"")
    if present != leaves:
        under = f"seal {seal.number} over changes of {seal.sealed_at:%Y-%m-%d %H:%M:%S} UTC"
        removals = Removal.objects.filter(seal_number=seal.number, of_changes=True)
        yield from _differences("Change", under, removals, dict(apart(leaves)), dict(apart(present)))


def waiting() -> int:
    """How many entries have no seal yet."""
    sealed = Seal.objects.values_list("last_id", flat=True).first() or 0
    return Entry.objects.filter(pk__gt=sealed).count()


def _pairs(begin: int) -> Iterator[tuple[Seal, Seal | None]]:
    """Every seal from that number on with the one before it in the table."""
    before = Seal.objects.filter(number__lt=begin).defer("leaves").first()
    for seal in Seal.objects.filter(number__gte=begin).order_by("number").iterator(chunk_size=16):
        yield seal, before
        before = seal


def _broken(seal: Seal, before: Seal | None) -> Iterator[str]:
    """What is wrong with a seal and the entries below it, the first thing first."""
    number, after = (before.number, before.last_id) if before else (0, 0)
    if seal.number > number + 1:
        yield f"Seal {number + 1} is missing: after seal {number} follows seal {seal.number}."
    if seal.after_id != after or bytes(seal.previous) != (bytes(before.head) if before else NOTHING_BEFORE):
        yield f"Seal {seal.number} does not follow seal {number}: one of the two was changed."
    if seal.form not in FORMS:
        yield f"Seal {seal.number} is of form {seal.form}, which this release does not know."
    if head_of(line_of(seal)) != bytes(seal.head):
        yield f"Seal {seal.number} was changed: its head is not the one that follows from it."
    leaves = bytes(seal.leaves)
    if root_of(hashes(leaves)) != bytes(seal.root) or len(hashes(leaves)) != seal.count:
        yield f"Seal {seal.number} was changed: its hashes do not give its root."
    present = _leaves_now(seal)
    if present != leaves:
        under = f"seal {seal.number} of {seal.sealed_at:%Y-%m-%d %H:%M:%S} UTC"
        removals = Removal.objects.filter(seal_number=seal.number, of_changes=False)
        yield from _differences("Entry", under, removals, dict(apart(leaves)), dict(apart(present)))


def _leaves_now(seal: Seal) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {LEAVES} FROM auditlog_entry e {WITH_ERASURES} WHERE e.id > %s AND e.id <= %s",  # noqa: S608 - fixed text
            [seal.after_id, seal.last_id],
        )
        return bytes(cursor.fetchone()[0] or b"")


def _differences(
    what: str, under: str, removals: Iterable[Removal], sealed: dict[int, bytes], present: dict[int, bytes]
) -> Iterator[str]:
    removals = list(removals)
    removed = {key for removal in removals for key in removal.keys}
    for key in sorted(sealed.keys() | present.keys()):
        if key not in sealed:
            yield f"{what} {key} was added after {under} was made."
        elif key not in present:
            if key not in removed:
                yield f"{what} {key} is missing: it was there when {under} was made."
        elif sealed[key] != present[key]:
            yield f"{what} {key} was changed after {under} was made."
    for removal in removals:
        digest = sha256(b"".join(sealed.get(key, b"") for key in removal.keys)).hexdigest()
        tombstone = Entry.objects.filter(pk=removal.tombstone_id, verb=TOMBSTONE).first()
        if tombstone is None or not removal.digest == digest == tombstone.after.get("digest"):
            yield f"What retention removed from {under} is not what entry {removal.tombstone_id} says."


def _compare(report: Report, heads: list[Head]) -> Report:
    """Compare heads from outside with the chain, the oldest first."""
    ours = {
        number: bytes(head).hex()
        for number, head in Seal.objects.filter(number__in={each.number for each in heads}).values_list(
            "number", "head"
        )
    }
    newest = Seal.objects.values_list("number", flat=True).first() or 0
    fits = 0
    for each in heads:
        report = replace(report, heads=report.heads + 1)
        if each.number > newest:
            cut = f"The end is cut off: the head of seal {each.number} was handed out on {each.at}, and the chain ends "
            return replace(report, found=f"{cut}with seal {newest}.")
        if ours.get(each.number) != each.head:
            span = (
                f"between seal {fits + 1} and seal {each.number}" if fits + 1 < each.number else f"in seal {fits + 1}"
            )
            made_anew = (
                f"The log was made anew {span}: the head of seal {each.number} that was handed out on {each.at} "
            )
            return replace(report, found=f"{made_anew}was another one.")
        fits = each.number
    return report
