"""Checks of the audit log: that it is sealed, that heads leave the desk, and that it is looked at and whole."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings

from auditlog.models import Change, ChangeSeal, Entry, Handing, Seal
from auditlog.seals import handing, looking
from opsdesk.lib.wording import span
from opsdesk.watch.findings import Finding, Moment

# A beat marks and the next one seals; transactions end within a minute.
SEALED_WITHIN = timedelta(minutes=2)
# Three times the interval passed and nothing was taken.
MISSED = 3
LOOKED_WITHIN = looking.EVERY + timedelta(hours=3)


def seals_late(moment: Moment) -> Iterator[Finding]:
    """Entries, and what the database saw beneath them, that have no seal though it is time."""
    sealed = Seal.objects.values_list("last_id", flat=True).first() or 0
    closed = ChangeSeal.objects.values_list("last_id", flat=True).first() or 0
    waits = [
        Entry.objects.filter(pk__gt=sealed).order_by("pk").only("at").first(),
        Change.objects.filter(pk__gt=closed).order_by("pk").only("at").first(),
    ]
    oldest = min((row for row in waits if row is not None), key=lambda row: row.at, default=None)
    if oldest is not None and moment.silent(oldest.at) > SEALED_WITHIN:
        yield Finding(
            "seals",
            f"For {span(moment.now - oldest.at)} nothing was sealed, so what was done since could be changed unseen. "
            "Look whether beat and a worker run, and whether a transaction stays open on the database's server.",
        )


def heads_late(moment: Moment) -> Iterator[Finding]:
    """Outlets that have not taken a head for too long though there are newer ones."""
    late = max(MISSED * timedelta(minutes=settings.HEADS_MINUTES), SEALED_WITHIN)
    for outlet in handing.configured():
        taken = handing.last_taken(outlet)
        newer = Seal.objects.filter(number__gt=taken.seal_number if taken else 0).order_by("number").defer("leaves")
        first = newer.first()
        if first is None or moment.silent(first.sealed_at) <= late:
            continue
        tried = Handing.objects.filter(outlet=outlet).exclude(trouble="").order_by("-pk").first()
        said = f": {tried.trouble}" if tried is not None and (taken is None or tried.pk > taken.pk) else ""
        yield Finding(
            f"outlet {outlet}",
            f"No head of the audit log was handed to the {outlet} for {span(moment.silent(first.sealed_at))}"
            f"{said}. Until one is, what was done since could be made anew unseen. Look whether it takes anything.",
        )


def verification_late(moment: Moment) -> Iterator[Finding]:
    """Nobody has looked for more than a day whether the log is whole."""
    first = Seal.objects.order_by("number").defer("leaves").first()
    if first is None:
        return
    last = looking.last()
    since = last.ended_at if last is not None and last.ended_at is not None else first.sealed_at
    if moment.now - since > LOOKED_WITHIN and moment.silent(None) > SEALED_WITHIN:
        yield Finding(
            "verification",
            f"Nobody has looked for {span(moment.now - since)} whether the audit log is whole. Look whether beat and a "
            "worker run; manage.py audit verify looks at once.",
        )


def log_broken(moment: Moment) -> Iterator[Finding]:
    """The last look found a broken place."""
    last = looking.last()
    if last is not None and last.found:
        yield Finding(
            "log",
            f"{last.found} Keep the database as it is, look with manage.py audit verify and heads from outside, and "
            "compare with a backup from before.",
        )
