"""Verifying by the clock: once a day, in short pieces, and what was found stays written down."""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from auditlog.models import Seal, Verification
from auditlog.seals.heads import of_this_machine
from auditlog.seals.verifying import Report, verify
from opsdesk.lib import clock

EVERY = timedelta(days=1)
_SECONDS = 10.0
_TIMER = "timer"


def note(report: Report, *, asked_by: str) -> Verification:
    """Write down a look that came to its end."""
    return Verification.objects.create(
        asked_by=asked_by,
        ended_at=Now(),
        next_seal=report.seals + 1,
        entries=report.entries,
        changes=report.changes,
        heads=report.heads,
        found=report.found,
    )


def last() -> Verification | None:
    """The last look that came to its end."""
    return Verification.objects.filter(ended_at__isnull=False).order_by("-ended_at", "-pk").first()


def go_on(*, seconds: float = _SECONDS) -> bool:
    """Look for some seconds, if a look is under way or due; False when there was nothing to do."""
    look = _under_way()
    if look is None:
        return False
    begin = look.next_seal
    report = verify(of_this_machine(), begin=begin, seconds=seconds)
    ended = report.next_seal is None
    # Two workers at the same look: only one of them counts what it has seen.
    Verification.objects.filter(pk=look.pk, next_seal=begin, ended_at=None).update(
        entries=F("entries") + report.entries,
        changes=F("changes") + report.changes,
        heads=report.heads,
        found=report.found,
        next_seal=report.next_seal or begin + report.seals,
        ended_at=Now() if ended else None,
    )
    return True


def _under_way() -> Verification | None:
    mine = Verification.objects.filter(asked_by=_TIMER)
    look = mine.filter(ended_at=None).first()
    if look is not None:
        return look
    before, first = last(), Seal.objects.order_by("number").defer("leaves").first()
    if first is None:
        return None
    since = before.ended_at if before is not None and before.ended_at is not None else first.sealed_at
    if clock.of_database() - since < EVERY:
        return None
    try:
        with transaction.atomic():
            return Verification.objects.create(asked_by=_TIMER)
    except IntegrityError:
        return mine.filter(ended_at=None).first()  # another worker began it at this moment
