"""The job: each policy in force removes its oldest rows, some at a time, and the log keeps what it did.

Entries of the log leave a tombstone: an entry, sealed like every other, with a hash over what was removed below one
seal. What the database saw beneath them goes by a policy of its own, in the same way. The hashes of what is removed
stay in their seal, so the chain still verifies, and `verify` sees that what is missing is what a tombstone names. The
rows go through a function of the database that looks once more whether they are old enough and held by nobody; the
role of the desk's processes cannot remove one in any other way.
"""

import hashlib
import time
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from auditlog.models import Change, ChangeSeal, Entry, LegalHold, Removal, RetentionPolicy, Seal
from auditlog.retention.kinds import Kind, Span, add_kind, cases_of, kind_of
from auditlog.seals.form import apart
from auditlog.seals.verifying import TOMBSTONE
from auditlog.services import Actor, record
from opsdesk.lib import clock

LEAST_DAYS = 365
_MOST, _SECONDS = 5_000, 5.0


def remove_due() -> int:
    """Remove some of what is too old; returns how many rows went."""
    end, gone = time.monotonic() + _SECONDS, 0
    for policy in RetentionPolicy.objects.filter(enabled=True).order_by("pk"):
        kind = kind_of(policy.kind)
        while kind is not None and time.monotonic() < end:
            removed = kind.remove(_span(policy))
            gone += removed
            if not removed:
                break
    return gone


def held_cases(organization_id: int) -> frozenset[int]:
    """The cases that a hold keeps: those that it names, and all of the customers that it names."""
    holds = LegalHold.objects.filter(organization_id=organization_id, lifted=False)
    parties = [hold.party for hold in holds if hold.party]
    named = {hold.case_id for hold in holds if hold.case_id is not None}
    return frozenset(named | (cases_of(organization_id, parties) if parties else set()))


def _span(policy: RetentionPolicy) -> Span:
    before = clock.of_database() - timedelta(days=policy.days)
    return Span(policy.organization_id, before, held_cases(policy.organization_id), policy.days, _MOST)


@transaction.atomic
def remove_entries(span: Span) -> int:
    """Remove old entries below the oldest seal that has some; returns how many."""
    old = Entry.objects.filter(organization_id=span.organization_id, at__lt=span.before).exclude(verb=TOMBSTONE)
    # A null in it would make the condition hold for no row at all.
    free = old.exclude(case_id__isnull=False, case_id__in=span.held)
    oldest = free.order_by("pk").values_list("pk", flat=True).first()
    seal = Seal.objects.filter(last_id__gte=oldest, after_id__lt=oldest).first() if oldest is not None else None
    if seal is None:
        return 0
    keys = list(free.filter(pk__gt=seal.after_id, pk__lte=seal.last_id).order_by("pk").values_list("pk", flat=True))
    return _take_out(span, seal, keys, what="entries", of_changes=False)


@transaction.atomic
def remove_changes(span: Span) -> int:
    """Remove what the database saw long ago, below the oldest seal over it that has some; returns how many rows."""
    closed = ChangeSeal.objects.filter(sealed_at__lt=span.before).values_list("last_id", flat=True).first()
    if closed is None:
        return 0
    old = Change.objects.filter(organization_id=span.organization_id, at__lt=span.before, pk__lte=closed)
    free = old.exclude(pk__in=_about(old, span.held).values("pk")) if span.held else old
    oldest = free.order_by("pk").values_list("pk", flat=True).first()
    seal = ChangeSeal.objects.filter(last_id__gte=oldest, after_id__lt=oldest).first() if oldest is not None else None
    if seal is None:
        return 0
    keys = list(free.filter(pk__gt=seal.after_id, pk__lte=seal.last_id).order_by("pk").values_list("pk", flat=True))
    return _take_out(span, seal, keys, what="changes", of_changes=True)


def _about(changes: "QuerySet[Change]", cases: frozenset[int]) -> "QuerySet[Change]":
    """Those about some cases: rows of theirs, rows that name them, and all that changed together with these."""
    transactions = Entry.objects.filter(case_id__in=cases).values_list("transaction", flat=True)
    of_case = Q(kind="case", row_id__in=cases) | Q(before__case_id__in=cases) | Q(after__case_id__in=cases)
    return changes.filter(of_case | Q(transaction__in=set(transactions)))


def _take_out(span: Span, seal: Seal | ChangeSeal, keys: list[int], *, what: str, of_changes: bool) -> int:
    """Leave a tombstone for rows below one seal, then have the database remove them."""
    digest = digest_of(seal, keys)
    tombstone = record(
        TOMBSTONE,
        actor=Actor.timer("retention"),
        organization_id=span.organization_id,
        subject=("seal", seal.number),
        reason=f"By policy {what} are kept for {span.days} days; no legal hold keeps these.",
        after={
            "seal": seal.number, "of": what, "count": len(keys), "digest": digest,
            "older_than": span.before.isoformat(),
        },
    )  # fmt: skip
    removal = Removal.objects.create(
        seal_number=seal.number, keys=keys, digest=digest, tombstone_id=tombstone.pk, of_changes=of_changes
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT auditlog_carry_out(%s)", [removal.pk])
        return int(cursor.fetchone()[0])


def digest_of(seal: Seal | ChangeSeal, keys: list[int]) -> str:
    """The hash over the hashes of some rows of a seal, in their order."""
    wanted = set(keys)
    return hashlib.sha256(b"".join(leaf for key, leaf in apart(bytes(seal.leaves)) if key in wanted)).hexdigest()


def register() -> None:
    """Let policies be about the log itself."""
    add_kind(Kind("entries", "Entries of the audit log", LEAST_DAYS, remove_entries))
    add_kind(Kind("changes", "What the database saw changing, beneath the entries", LEAST_DAYS, remove_changes))
