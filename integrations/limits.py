"""How much may go out: calls a second with a burst, tries at once, and retries as a share of all calls.

The database's clock counts, on rows, so that any number of workers share one limit. What finds no room waits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from django.db.models import F
from django.db.models.functions import Now

from integrations.models import Call, Connection, Permit, Throttle

# A sliding window in two stretches: the one before counts for the part of it that still lies in the window.
STRETCH = timedelta(seconds=10)
RETRY_SHARE = Decimal("0.1")
LEAST_RETRIES_A_SECOND = 1
# The tick that looks for due work comes every two seconds: a smaller burst would leave the limit unused.
_BURST_SECONDS = 2
# A permit outlives the longest try, and ends with the lease of a worker that is gone.
_PERMIT_LIFE = timedelta(seconds=60)
# A try under way ends by itself, nobody knows when: look again soon.
_FULL_PAUSE = timedelta(seconds=2)
_SMALLEST = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Room:
    """How many of the wanted tries may go out now, with their permits; `words` and `wait` are for the others."""

    tries: int
    permits: Sequence[int] = ()
    words: str = ""
    wait: timedelta = timedelta(0)


def take(connection: Connection, wanted: int) -> Room:
    """Take room for so many tries of a limited connection, inside the transaction that begins them."""
    throttle, now = _locked(connection)
    free, words, wait = wanted, "", _FULL_PAUSE
    if connection.most_at_once is not None:
        under_way = Permit.objects.filter(connection=connection, until__gt=now).count()
        if connection.most_at_once - under_way < free:
            free = max(connection.most_at_once - under_way, 0)
            words = f"{connection.name} is sent at most {connection.most_at_once} at once."
    if connection.calls_per_second is not None:
        tokens = _tokens(connection, throttle, now)
        whole = max(int(tokens.to_integral_value(ROUND_FLOOR)), 0)
        if whole < free:
            free, words = whole, f"{connection.name} is called at most {connection.calls_per_second} times a second."
            wait = _seconds((1 - (tokens - free)) / connection.calls_per_second)
        Throttle.objects.filter(pk=throttle.pk).update(tokens=tokens - free, filled_at=now)
    permits: list[Permit] = []
    if connection.most_at_once is not None:
        permits = [Permit(connection=connection, until=now + _PERMIT_LIFE) for _ in range(free)]
        Permit.objects.bulk_create(permits)
    return Room(free, [permit.pk for permit in permits], words if free < wanted else "", wait)


def give_back(permits: Iterable[int]) -> None:
    """End tries that are over."""
    ids = list(permits)
    if ids:
        Permit.objects.filter(pk__in=ids).delete()


def charge(connection_id: int, calls: int) -> None:
    """Count calls that tries took beyond the one each was admitted with: the next ones wait that much longer."""
    if calls > 0:
        Throttle.objects.filter(connection=connection_id, tokens__isnull=False).update(tokens=F("tokens") - calls)


def take_retries(connection: Connection, wanted: int) -> int:
    """Take as many retries as wanted and left: a tenth of all calls of late, at least one a second."""
    throttle, now = _locked(connection)
    begun, running, before = throttle.stretch_at, throttle.retries, throttle.retries_before
    if now - begun >= 2 * STRETCH:
        begun, running, before = now, 0, 0
    elif now - begun >= STRETCH:
        begun, running, before = begun + STRETCH, 0, running
    still = 1 - (now - begun) / STRETCH
    calls = Call.objects.filter(connection=connection, at__gt=now - STRETCH).count()
    budget = max(RETRY_SHARE * calls, Decimal(LEAST_RETRIES_A_SECOND * STRETCH.seconds))
    left = int((budget - running - Decimal(before * still)).to_integral_value(ROUND_FLOOR))
    granted = max(min(wanted, left), 0)
    Throttle.objects.filter(pk=throttle.pk).update(retries=running + granted, retries_before=before, stretch_at=begun)
    return granted


def retries_left(connection: Connection, throttle: Throttle | None, now: datetime) -> int:
    """What the retry budget has left now, for the screen."""
    used = Decimal(0)
    if throttle is not None and now - throttle.stretch_at < 2 * STRETCH:
        still = max(1 - (now - throttle.stretch_at) / STRETCH, 0)
        used = throttle.retries + Decimal(throttle.retries_before * still)
    return max(int(LEAST_RETRIES_A_SECOND * STRETCH.seconds - used), 0)


def tokens_left(connection: Connection, throttle: Throttle | None, now: datetime) -> Decimal | None:
    """How many calls could go out now, for the screen; None where nothing limits them."""
    if connection.calls_per_second is None:
        return None
    return _tokens(connection, throttle or Throttle(connection=connection), now)


def _locked(connection: Connection) -> tuple[Throttle, datetime]:
    """The row under its lock, and the database's clock."""
    rows: Any = Throttle.objects.filter(connection=connection).annotate(now=Now())
    found = rows.select_for_update(of=("self",)).first()
    if found is None:
        Throttle.objects.bulk_create([Throttle(connection=connection)], ignore_conflicts=True)
        found = rows.select_for_update(of=("self",)).get()
    return found, found.now


def _tokens(connection: Connection, throttle: Throttle, now: datetime) -> Decimal:
    """What the bucket holds now, filled up by the time that passed."""
    assert connection.calls_per_second is not None  # noqa: S101 - for the type checker: the caller has looked
    rate = connection.calls_per_second
    full = Decimal(connection.burst) if connection.burst else max(_BURST_SECONDS * rate, Decimal(1))
    if throttle.tokens is None:
        return full
    passed = Decimal(max((now - throttle.filled_at).total_seconds(), 0))
    return min(full, throttle.tokens + rate * passed).quantize(_SMALLEST, ROUND_FLOOR)


def _seconds(number: Decimal) -> timedelta:
    return timedelta(seconds=max(float(number), 0.05))
