"""Finding the first broken place: the chain of seals, the entries below each, and heads that come from outside.

Whoever owns the tables can change entries and make all seals anew. That shows by a head that was handed outside before,
and by nothing else.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

from django.db import connection

from auditlog.models import Entry, Removal, Seal
from auditlog.seals.form import FORM, LEAVES, NOTHING_BEFORE, WITH_ERASURES, apart, hashes, head_of, line_of
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
        if found:
            return report
    return _compare(report, sorted(heads, key=lambda each: each.number))


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
    if seal.form != FORM:
        yield f"Seal {seal.number} is of form {seal.form}, which this release does not know."
    if head_of(line_of(seal)) != bytes(seal.head):
        yield f"Seal {seal.number} was changed: its head is not the one that follows from it."
    leaves = bytes(seal.leaves)
    if root_of(hashes(leaves)) != bytes(seal.root) or len(hashes(leaves)) != seal.count:
        yield f"Seal {seal.number} was changed: its hashes do not give its root."
    present = _leaves_now(seal)
    if present != leaves:
        yield from _differences(seal, dict(apart(leaves)), dict(apart(present)))


def _leaves_now(seal: Seal) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {LEAVES} FROM auditlog_entry e {WITH_ERASURES} WHERE e.id > %s AND e.id <= %s",  # noqa: S608 - fixed text
            [seal.after_id, seal.last_id],
        )
        return bytes(cursor.fetchone()[0] or b"")


def _differences(seal: Seal, sealed: dict[int, bytes], present: dict[int, bytes]) -> Iterator[str]:
    under = f"seal {seal.number} of {seal.sealed_at:%Y-%m-%d %H:%M:%S} UTC"
    removals = list(Removal.objects.filter(seal_number=seal.number))
    removed = {key for removal in removals for key in removal.keys}
    for key in sorted(sealed.keys() | present.keys()):
        if key not in sealed:
            yield f"Entry {key} was added after {under} was made."
        elif key not in present:
            if key not in removed:
                yield f"Entry {key} is missing: it was there when {under} was made."
        elif sealed[key] != present[key]:
            yield f"Entry {key} was changed after {under} was made."
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
