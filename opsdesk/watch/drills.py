"""Whether the reversal drill is run, and what it found."""

from collections.abc import Iterator
from datetime import timedelta

from opsdesk.lib import clock
from opsdesk.lib.wording import span
from opsdesk.models import ReversalDrill
from opsdesk.watch.findings import Finding, Moment

# It is run every day; after so long without one nobody knows any more whether things can be taken back.
OLDEST = timedelta(days=3)


def is_old(drill: ReversalDrill) -> bool:
    """Whether nobody can rely on this drill any more."""
    return clock.now() - drill.begun_at > OLDEST


def reversals_rotten(moment: Moment) -> Iterator[Finding]:
    """That the last drill is too old, and each reversal that did not work in it."""
    last = ReversalDrill.objects.filter(ended_at__isnull=False).prefetch_related("results").first()
    silent = moment.silent(last.begun_at if last is not None else None)
    if silent > OLDEST:
        yield Finding(
            "drill",
            f"Whether what was done can be taken back was last tried {span(silent)} ago or never. Run "
            "`manage.py reversal drill`, and look why beat or the workers do not (Alerts, Periodic work).",
        )
    for result in last.results.all() if last is not None else ():
        if not result.works:
            yield Finding(
                f"{result.connector}/{result.operation}",
                f"In the drill {result.connector} {result.operation} could not be taken back: {result.words} Until "
                "this is mended, do not count on taking it back.",
            )
