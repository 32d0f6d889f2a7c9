"""Schedules: cron lines on the organization's wall clock, each slot an instant that comes once.

A time that the clock skips comes when the skip is over; one that comes twice counts the first time only.
"""

import re
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterBadDateError, CroniterError

_MINUTE = timedelta(minutes=1)
# Five fields of numbers, names, lists, ranges and steps: nothing random, no seconds, no years.
_FIELD = r"(?:[0-9A-Za-z*]+(?:-[0-9A-Za-z]+)?(?:/[0-9]+)?)(?:,[0-9A-Za-z*]+(?:-[0-9A-Za-z]+)?(?:/[0-9]+)?)*"
_LINE = re.compile(rf"{_FIELD}(?: {_FIELD}){{4}}")
_NAMED = re.compile(r"[A-Za-z]+")
_NAMES = {
    *("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
    *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
}
LONGEST = 100


def check(cron: object) -> str:
    """What is wrong with a cron line, as a sentence; "" when it can be followed."""
    if not isinstance(cron, str) or len(cron) > LONGEST or not _LINE.fullmatch(cron):
        return "cron has five fields: minute, hour, day of month, month, day of week, such as “30 7 * * mon-fri”."
    strange = [name for name in _NAMED.findall(cron) if name.lower() not in _NAMES]
    if strange:
        return f"cron knows no “{strange[0][:20]}”: write numbers, or days and months by three letters."
    try:
        croniter(cron, datetime(2024, 1, 1)).get_next(datetime)  # noqa: DTZ001 - a time on the wall
    except CroniterBadDateError:
        return f"“{cron}” never comes."
    except (CroniterError, ValueError) as error:
        return f"“{cron}” cannot be followed: {str(error)[:120]}."
    return ""


def next_slot(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    """The first slot (UTC) later than `after`."""
    wall = croniter(cron, after.astimezone(zone).replace(tzinfo=None))
    return _first(lambda: wall.get_next(datetime), zone, lambda slot: slot > after)


def last_slot(cron: str, zone: ZoneInfo, until: datetime) -> datetime:
    """The latest slot (UTC) not later than `until`."""
    local = until.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)
    wall = croniter(cron, local + _MINUTE)
    return _first(lambda: wall.get_prev(datetime), zone, lambda slot: slot <= until)


def _first(step: Callable[[], datetime], zone: ZoneInfo, fits: Callable[[datetime], bool]) -> datetime:
    while True:
        slot = instant_of(step(), zone)
        if fits(slot):
            return slot


def instant_of(local: datetime, zone: ZoneInfo) -> datetime:
    """When the clock on the wall shows `local` (naive, whole minutes) for the first time, in UTC.

    A time that is skipped gives the instant at which the clock has jumped over it.
    """
    found = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == local:
        return found
    # Read by the clock of after the jump it is an instant before it: somewhere between the two the clock jumps.
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = before.astimezone(zone).utcoffset()

    def has_jumped(minutes: int) -> bool:
        return (before + minutes * _MINUTE).astimezone(zone).utcoffset() != offset

    return before + bisect_left(range((found - before) // _MINUTE + 1), True, key=has_jumped) * _MINUTE
