"""Running the drill and keeping what came of it."""

from datetime import timedelta
from time import monotonic

import structlog
from django.db.models.functions import Now

from integrations.errors import CallFailed
from opsdesk.drill import rehearsals
from opsdesk.drill.rehearsals import Rotten
from opsdesk.drill.world import NoWorld, World, world
from opsdesk.lib.database import is_lost
from opsdesk.models import DrillResult, ReversalDrill

log = structlog.get_logger(__name__)
# How often it is run by itself.
EVERY = timedelta(days=1)
# Drills that are kept; older ones are forgotten with their results.
KEPT = 60


def run_if_due() -> int:
    """Run it unless one was begun within a day; returns how many reversals do not work."""
    if ReversalDrill.objects.filter(begun_at__gt=Now() - EVERY).exists():
        return 0
    return run().failed


def run() -> ReversalDrill:
    """Take everything back once in the sandbox, and keep one result for each."""
    drill = ReversalDrill.objects.create()
    began = monotonic()
    try:
        with world() as outside:
            results = [_try(drill, *place, outside) for place in rehearsals.declared()]
    except NoWorld as trouble:
        results = [_result(drill, *place, str(trouble)) for place in rehearsals.declared()]
    DrillResult.objects.bulk_create(results)
    drill.tried, drill.failed = len(results), sum(not each.works for each in results)
    drill.milliseconds = int((monotonic() - began) * 1000)
    ReversalDrill.objects.filter(pk=drill.pk).update(
        tried=drill.tried, failed=drill.failed, milliseconds=drill.milliseconds, ended_at=Now()
    )
    drill.refresh_from_db()
    _forget()
    return drill


def _try(drill: ReversalDrill, connector: str, operation: str, outside: World) -> DrillResult:
    began = monotonic()
    try:
        tried = rehearsals.try_out(connector, operation, outside)
    except (Rotten, CallFailed, NoWorld) as trouble:
        return _result(drill, connector, operation, str(trouble), began=began)
    except Exception as error:
        if is_lost(error):
            raise
        # One that breaks in a way nobody planned for is a reversal that does not work, not the end of the drill.
        log.exception("drill_broke", connector=connector, operation=operation)
        return _result(drill, connector, operation, f"{type(error).__name__}: {error}", began=began)
    return _result(drill, connector, operation, tried.words, works=True, calls=tried.calls, began=began)


def _result(
    drill: ReversalDrill, connector: str, operation: str, words: str, *, works: bool = False, calls: int = 0,
    began: float | None = None,
) -> DrillResult:  # fmt: skip
    took = int((monotonic() - began) * 1000) if began is not None else 0
    return DrillResult(
        drill=drill, connector=connector, operation=operation, works=works, words=words[:300], calls=calls,
        milliseconds=took,
    )  # fmt: skip


def _forget() -> None:
    kept = list(ReversalDrill.objects.order_by("-pk").values_list("pk", flat=True)[:KEPT])
    DrillResult.objects.exclude(drill__in=kept).delete()
    ReversalDrill.objects.exclude(pk__in=kept).delete()
