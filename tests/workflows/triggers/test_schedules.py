"""Schedules over changes of the clock: one slot an instant, none lost in a gap, none twice in a fold."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from workflows.triggers.schedules import check, instant_of, last_slot, next_slot

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
LORD_HOWE, KATHMANDU = "Australia/Lord_Howe", "Asia/Kathmandu"


def utc(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)


def slots(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    found, at = [], start
    while (at := next_slot(cron, ZoneInfo(zone), at)) <= end:
        found.append(at)
    return found


@pytest.mark.parametrize(
    ("zone", "cron", "day", "expected"),
    [
        # 02:30 does not exist: it comes when the clock has jumped to 03:00, and once.
        (BERLIN, "30 2 * * *", (2027, 3, 28), [utc(2027, 3, 28, 1, 0)]),
        (NEW_YORK, "30 2 * * *", (2027, 3, 14), [utc(2027, 3, 14, 7, 0)]),
        # 02:30 exists twice: the first counts.
        (BERLIN, "30 2 * * *", (2027, 10, 31), [utc(2027, 10, 31, 0, 30)]),
        (NEW_YORK, "30 1 * * *", (2027, 11, 7), [utc(2027, 11, 7, 5, 30)]),
        # Half an hour is skipped, and comes twice in April.
        (LORD_HOWE, "15 2 * * *", (2027, 10, 3), [utc(2027, 10, 2, 15, 30)]),
        (LORD_HOWE, "45 1 * * *", (2027, 4, 4), [utc(2027, 4, 3, 14, 45)]),
        (LORD_HOWE, "30 2 * * *", (2027, 10, 3), [utc(2027, 10, 2, 15, 30)]),
        # Five hours and three quarters east, no change at all.
        (KATHMANDU, "30 2 * * *", (2027, 3, 28), [utc(2027, 3, 27, 20, 45)]),
    ],
)
def test_a_job_at_night_runs_once_whatever_the_clock_does(zone, cron, day, expected):
    start = datetime(*day, tzinfo=ZoneInfo(zone)).astimezone(UTC) - timedelta(minutes=1)
    end = datetime(*day, 23, 59, tzinfo=ZoneInfo(zone)).astimezone(UTC)

    assert slots(cron, zone, start, end) == expected


def test_many_slots_in_a_gap_are_one_and_the_hour_that_comes_twice_counts_once():
    spring = slots("*/10 * * * *", BERLIN, utc(2027, 3, 28, 0, 45), utc(2027, 3, 28, 1, 25))
    autumn = slots("0 * * * *", BERLIN, utc(2027, 10, 30, 23, 30), utc(2027, 10, 31, 2, 30))

    assert spring == [utc(2027, 3, 28, 0, 50), utc(2027, 3, 28, 1, 0), utc(2027, 3, 28, 1, 10), utc(2027, 3, 28, 1, 20)]
    assert autumn == [utc(2027, 10, 31, 0), utc(2027, 10, 31, 2)]


def test_a_day_that_a_zone_leaves_out_gives_its_slot_to_the_next():
    # Samoa went from 29 to 31 December 2011.
    left_out = datetime.fromisoformat("2011-12-30T07:00")

    assert instant_of(left_out, ZoneInfo("Pacific/Apia")) == utc(2011, 12, 30, 10)


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, KATHMANDU, "UTC"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 1-3 * * *", "0 7 1,15 * *", "15 6 * * mon-fri"])
def test_what_comes_next_is_what_came_last_a_moment_later(zone, cron):
    """Walking forward and looking back agree on every slot of half a year with both changes in it."""
    place = ZoneInfo(zone)

    spring = slots(cron, zone, utc(2027, 3, 1), utc(2027, 4, 20))
    found = spring + slots(cron, zone, utc(2027, 9, 25), utc(2027, 11, 20))

    assert len(found) == len(set(found)) > 3
    for slot in found:
        assert last_slot(cron, place, slot) <= slot
        assert next_slot(cron, place, slot - timedelta(seconds=1)) == slot


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("30 7 * * mon-fri", ""),
        ("*/5 8-17 1,15 jan-mar *", ""),
        ("30 7 * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("@daily", "five fields"),
        ("30 7 * * mon-fri; rm", "five fields"),
        (None, "five fields"),
        (5, "five fields"),
        ("60 * * * *", "cannot be followed"),
        ("1-99999999 * * * *", "cannot be followed"),
        ("0 0 30 2 *", "never comes"),
        ("H * * * *", "knows no “H”"),
        ("0 0 L * *", "knows no “L”"),
    ],
)
def test_a_line_that_could_not_be_followed_is_refused(cron, says):
    found = check(cron)

    assert says in found
    assert bool(found) == bool(says)
