"""Whether payments may be read over a connection now: holds, probes, limits and the retry budget, as for actions."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from integrations import breakers, holds, limits
from integrations.breakers import Place
from integrations.holds import READ, Hold
from integrations.models import Connection
from opsdesk.lib import clock

# Whoever is held is woken when the hold ends; this is for a wake-up that was missed.
_LOOK_AGAIN = timedelta(minutes=5)
_BUDGET_PAUSE = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Refused:
    """A reading that may not be made now: why, and when to come again."""

    words: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of the wishes, each an admitted one's None or its refusal; the probes and permits taken for them."""

    refused: Sequence[Refused | None]
    probes: dict[Place, int]
    permits: Sequence[int]


def admit(wishes: Sequence[tuple[Connection, bool]]) -> Admission:
    """Which of these readings may be made now. A wish is the connection, and whether it was tried before.

    One statement while nothing is held, limited or repeated.
    """
    held = holds.current()
    refused: list[Refused | None] = [None] * len(wishes)
    probes: dict[Place, int] = {}
    permits: list[int] = []
    by_connection: dict[int, list[int]] = defaultdict(list)
    for index, (connection, _) in enumerate(wishes):
        by_connection[connection.pk].append(index)
    for connection_id in sorted(by_connection):
        indexes = by_connection[connection_id]
        mine = [hold for hold in held if hold.covers(connection_id, READ)]
        for index in _stopped(mine, indexes, probes):
            refused[index] = _by_hold(mine[0])
        free = [index for index in indexes if refused[index] is None]
        # The one try that finds out asks no budget.
        probing = (connection_id, READ) in probes
        with transaction.atomic():
            permits += _within_limits(wishes, free, refused, probing=probing)
    return Admission(refused, probes, permits)


def _stopped(mine: Sequence[Hold], indexes: Sequence[int], probes: dict[Place, int]) -> Sequence[int]:
    """The wishes that holds stop: all, or all but the one that finds out."""
    if not mine:
        return []
    breaker = mine[0].breaker
    if len(mine) == 1 and breaker is not None and breakers.asks_for_a_try(breaker):
        epoch = breakers.take_probe(breaker)
        if epoch is not None:
            probes[mine[0].connection.pk, READ] = epoch
            return indexes[1:]
    return indexes


def _by_hold(hold: Hold) -> Refused:
    soon = clock.now() + _LOOK_AGAIN
    until = hold.until if hold.until is not None and hold.breaker is None else soon
    return Refused(hold.words, max(min(until, soon), clock.now() + timedelta(seconds=1)))


def _within_limits(
    wishes: Sequence[tuple[Connection, bool]], free: Sequence[int], refused: list[Refused | None], *, probing: bool
) -> Sequence[int]:
    """Take room for the wishes that nothing holds; those without room are refused for a moment."""
    retries = [index for index in free if wishes[index][1] and not probing]
    if retries:
        connection = wishes[retries[0]][0]
        words = f"The retry waits: {connection.name} had its share of retries for now."
        for index in retries[limits.take_retries(connection, len(retries)) :]:
            refused[index] = Refused(words, clock.now() + _BUDGET_PAUSE)
    left = [index for index in free if refused[index] is None]
    if not left or not wishes[left[0]][0].limited:
        return []
    room = limits.take(wishes[left[0]][0], len(left))
    for index in left[room.tries :]:
        refused[index] = Refused(room.words, clock.now() + room.wait)
    return room.permits
