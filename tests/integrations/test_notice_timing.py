"""When a notice goes out by its reader's own clock: at once, at the hour, at a time of day, not in quiet hours."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from integrations.models import How
from integrations.notices.timing import Going, Hours, going

LONDON, NEW_YORK = ZoneInfo("Europe/London"), ZoneInfo("America/New_York")
NIGHT = Hours(LONDON, time(8), time(22), time(7))
NOON = Hours(LONDON, time(8), time(12), time(13))
OPEN = Hours(LONDON, time(8))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("how", "hours", "now", "presses", "goes"),
    [
        (How.AT_ONCE, OPEN, "2026-01-10 03:00", False, ("2026-01-10 03:00", False)),
        (How.HOURLY, OPEN, "2026-01-10 03:10", False, ("2026-01-10 04:00", True)),
        (How.HOURLY, OPEN, "2026-01-10 03:00", False, ("2026-01-10 04:00", True)),
        (How.DAILY, OPEN, "2026-01-10 07:59", False, ("2026-01-10 08:00", True)),
        (How.DAILY, OPEN, "2026-01-10 08:00", False, ("2026-01-11 08:00", True)),
        # Quiet over midnight, and at noon.
        (How.AT_ONCE, NIGHT, "2026-01-10 21:59", False, ("2026-01-10 21:59", False)),
        (How.AT_ONCE, NIGHT, "2026-01-10 22:00", False, ("2026-01-11 07:00", True)),
        (How.AT_ONCE, NIGHT, "2026-01-10 06:59", False, ("2026-01-10 07:00", True)),
        (How.AT_ONCE, NIGHT, "2026-01-10 07:00", False, ("2026-01-10 07:00", False)),
        (How.AT_ONCE, NOON, "2026-01-10 12:30", False, ("2026-01-10 13:00", True)),
        (How.HOURLY, NIGHT, "2026-01-10 21:30", False, ("2026-01-11 07:00", True)),
        # What presses breaks the quiet, and nothing else of it.
        (How.AT_ONCE, NIGHT, "2026-01-10 23:00", True, ("2026-01-10 23:00", False)),
        (How.DAILY, Hours(LONDON, time(6), time(22), time(7)), "2026-01-10 12:00", True, ("2026-01-11 06:00", True)),
        (How.DAILY, Hours(LONDON, time(6), time(22), time(7)), "2026-01-10 12:00", False, ("2026-01-11 07:00", True)),
        # The person's zone: eight in New York is one in the afternoon in London.
        (How.DAILY, Hours(NEW_YORK, time(8)), "2026-01-10 09:00", False, ("2026-01-10 13:00", True)),
        # The clocks go forward on 29 March at one: half past one is not there, and counts an hour later.
        (How.DAILY, Hours(LONDON, time(1, 30)), "2026-03-29 00:10", False, ("2026-03-29 01:30", True)),
        (How.DAILY, Hours(LONDON, time(1, 30)), "2026-03-29 12:00", False, ("2026-03-30 00:30", True)),
        # And back on 25 October at two: half past one comes twice, and the first one counts.
        (How.DAILY, Hours(LONDON, time(1, 30)), "2026-10-24 12:00", False, ("2026-10-25 00:30", True)),
        (How.DAILY, Hours(LONDON, time(1, 30)), "2026-10-25 00:45", False, ("2026-10-26 01:30", True)),
    ],
)
def test_it_goes_out_when_its_reader_wants_it(how, hours, now, presses, goes):
    out, bundled = goes

    assert going(how, hours, at(now), presses=presses) == Going(at(out), bundled)


def test_what_is_not_wanted_does_not_go_out():
    assert going(How.NEVER, OPEN, at("2026-01-10 03:00"), presses=True) is None
