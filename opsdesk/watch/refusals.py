"""What the web processes turned away, added up in rows: any of them can say it for all."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta

import structlog
from django.db.models import F
from django.db.models.functions import Now

from opsdesk.admission import Kind, Lane
from opsdesk.models import Refusals
from opsdesk.watch.findings import Finding, Moment

log = structlog.get_logger(__name__)
# An alert stands for so long after the last one.
LATELY = timedelta(minutes=2)


class Tally:
    """What one process turned away, and how much of it stands in the rows."""

    def __init__(self, lanes: Mapping[Kind, Lane]) -> None:
        self._lanes = lanes
        self._written: Counter[Kind] = Counter()

    def write(self) -> None:
        """Add what came since the last time."""
        for kind, lane in self._lanes.items():
            fresh = lane.refused - self._written[kind]
            if fresh:
                Refusals.objects.get_or_create(kind=kind)
                Refusals.objects.filter(kind=kind).update(total=F("total") + fresh, last_at=Now())
                self._written[kind] += fresh
                log.warning("requests_refused", requests=kind.value, count=fresh)


def totals() -> dict[str, int]:
    """How many of each kind were turned away since the desk exists."""
    found = dict(Refusals.objects.values_list("kind", "total"))
    return {kind.value: found.get(kind, 0) for kind in Kind}


def overloaded(moment: Moment) -> Iterator[Finding]:
    """That requests are being turned away, and which."""
    kinds = Refusals.objects.filter(last_at__gt=moment.now - LATELY).values_list("kind", flat=True)
    if kinds:
        yield Finding(
            "web",
            f"More is asked of the web processes than they can answer: they turn away {', '.join(kinds)} with 503. "
            "Look in the proxy's log who asks so much; if it is everyday work, start more web processes.",
        )
