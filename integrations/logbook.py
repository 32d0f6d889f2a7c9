"""Writing down what was called, and letting breakers and limits learn from it."""

from collections import Counter
from collections.abc import Iterable, Mapping

import structlog
from django.db import DatabaseError

from integrations import breakers, limits
from integrations.breakers import Place
from integrations.models import Call
from opsdesk.lib.database import is_lost

log = structlog.get_logger(__name__)


class Logbook:
    """The calls of several tries under way: trouble is written at once, the rest together when all are over.

    A breaker must not learn of trouble only when the slowest neighbour has answered.
    """

    def __init__(self, probes: Mapping[Place, int]) -> None:
        self._probes = dict(probes)
        self._calls: list[Call] = []
        self._extra: Counter[int] = Counter()

    def add(self, calls: Iterable[Call]) -> None:
        """The calls of one try that is over."""
        found = list(calls)
        self._calls += found
        if len(found) > 1:
            self._extra[found[0].connection_id] += len(found) - 1
        places = {(call.connection_id, call.part_of) for call in found}
        if any(call.told or breakers.is_trouble(call) for call in found) or places & self._probes.keys():
            self._write(places)

    def close(self) -> None:
        """Write what is left. Probes of which nothing was heard are given back."""
        self._write(set(self._probes))
        for connection_id, calls in self._extra.items():
            limits.charge(connection_id, calls)
        self._extra.clear()

    def _write(self, over: set[Place]) -> None:
        calls, self._calls = self._calls, []
        probes = {place: self._probes.pop(place) for place in over & self._probes.keys()}
        Call.objects.bulk_create(calls)
        try:
            breakers.judge(calls, probes)
        except DatabaseError as error:
            if is_lost(error):
                raise
            # The answers matter more than what breakers learn from them; a lost probe is taken again.
            log.exception("calls_not_judged", places=sorted(over))
