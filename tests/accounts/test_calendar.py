"""Business time over changes of the clock, against a slow oracle that walks minute by minute."""

from datetime import UTC, date, datetime, time, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import IntegrityError
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.calendar import Hours, hours_of
from accounts.models import BusinessCalendar
from tests.factories import make_organization

OFFICE = frozenset(range(5))
EVERY_DAY = frozenset(range(7))
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
MINUTE = timedelta(minutes=1)


def office(
    zone: str, *, opens: time = time(9), closes: time = time(17), holidays: frozenset[date] = frozenset()
) -> Hours:
    return Hours(ZoneInfo(zone), OFFICE, opens, closes, holidays)


def local(zone: str, *moment: int, fold: int = 0) -> datetime:
    return datetime(*moment, tzinfo=ZoneInfo(zone), fold=fold)


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        # The night in which Berlin turns its clock back lies between Friday and Monday.
        (local("Europe/Berlin", 2027, 10, 29, 16), 4, datetime(2027, 11, 1, 11, tzinfo=UTC)),
        (local("Europe/Berlin", 2027, 3, 26, 16), 4, datetime(2027, 3, 29, 10, tzinfo=UTC)),
        (local("America/New_York", 2027, 3, 12, 16), 4, datetime(2027, 3, 15, 16, tzinfo=UTC)),
        (local("Europe/Berlin", 2027, 6, 1, 9), 8, datetime(2027, 6, 1, 15, tzinfo=UTC)),
        (local("Europe/Berlin", 2027, 6, 1, 3), 1, datetime(2027, 6, 1, 8, tzinfo=UTC)),
        (local("Europe/Berlin", 2027, 6, 1, 20), 1, datetime(2027, 6, 2, 8, tzinfo=UTC)),
        (local("Europe/Berlin", 2027, 6, 5, 12), 1, datetime(2027, 6, 7, 8, tzinfo=UTC)),
        (local("Europe/Berlin", 2027, 12, 31, 16), 2, datetime(2028, 1, 3, 9, tzinfo=UTC)),
    ],
)
def test_business_hours_end_when_the_wall_clock_says(start: datetime, hours: int, end: datetime):
    assert office(str(start.tzinfo)).add(start, timedelta(hours=hours)) == end


@pytest.mark.parametrize("day", [(2027, 3, 27), (2027, 10, 30), (2027, 6, 1)])
def test_a_day_that_works_round_the_clock_has_the_hours_that_pass(day: tuple[int, int, int]):
    """24 hours are 24 hours, also over the night with 23 or 25 of them."""
    hours = Hours(ZoneInfo("Europe/Berlin"), EVERY_DAY, time(0), time(0), frozenset())
    start = local("Europe/Berlin", *day, 20)

    assert hours.add(start, timedelta(hours=24)) == start.astimezone(UTC) + timedelta(hours=24)


def test_a_holiday_is_passed_over():
    hours = office("Europe/Berlin", holidays=frozenset({date(2027, 6, 2), date(2027, 6, 3)}))

    assert hours.add(local("Europe/Berlin", 2027, 6, 1, 16), timedelta(hours=2)) == datetime(2027, 6, 4, 8, tzinfo=UTC)


def test_the_last_minute_of_the_day_counts():
    late = office("Europe/Berlin", closes=time(23, 59))
    whole = office("Europe/Berlin", closes=time(0))
    start = local("Europe/Berlin", 2027, 6, 1, 23, 58)

    assert late.add(start, timedelta(minutes=2)) == datetime(2027, 6, 2, 7, 1, tzinfo=UTC)
    assert whole.add(start, timedelta(minutes=2)) == datetime(2027, 6, 1, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        ((2027, 6, 4, 20), 3, (2027, 6, 5, 1)),  # Friday's shift begins at 22:00
        ((2027, 6, 5, 2), 4, (2027, 6, 5, 6)),  # and goes on on Saturday, which is no working day,
        ((2027, 6, 5, 2), 5, (2027, 6, 7, 23)),  # until six
        ((2027, 6, 6, 23), 1, (2027, 6, 7, 23)),
        ((2027, 10, 29, 22), 8, (2027, 10, 30, 6)),
        ((2027, 3, 27, 20), 1, (2027, 3, 29, 23)),
    ],
)
def test_a_shift_through_the_night_belongs_to_the_day_on_which_it_begins(start, hours, end):
    nights = office("Europe/Berlin", opens=time(22), closes=time(6))

    assert nights.add(local("Europe/Berlin", *start), timedelta(hours=hours)) == local("Europe/Berlin", *end)


@pytest.mark.parametrize(("day", "hours"), [((2027, 3, 27), 7), ((2027, 10, 30), 9), ((2027, 6, 1), 8)])
def test_a_night_in_which_the_clock_is_changed_has_the_hours_that_pass(day, hours):
    nights = Hours(ZoneInfo("Europe/Berlin"), EVERY_DAY, time(22), time(6), frozenset())
    end = local("Europe/Berlin", *day, 22) + timedelta(days=1, hours=-16)  # 06:00 on the wall

    assert nights.add(local("Europe/Berlin", *day, 22), timedelta(hours=hours)) == end


def test_no_time_at_all_ends_at_the_next_working_moment():
    assert office("UTC").add(datetime(2027, 6, 1, 10, 30, tzinfo=UTC), timedelta(0)) == datetime(
        2027, 6, 1, 10, 30, tzinfo=UTC
    )
    assert office("UTC").add(datetime(2027, 6, 1, 3, tzinfo=UTC), timedelta(0)) == datetime(2027, 6, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "hours",
    [
        Hours(ZoneInfo("UTC"), frozenset(), time(9), time(17), frozenset()),
        Hours(ZoneInfo("UTC"), OFFICE, time(9), time(9), frozenset()),
    ],
    ids=["no weekday", "no hour"],
)
def test_a_calendar_that_never_opens_says_so(hours: Hours):
    with pytest.raises(ValueError, match="no working time"):
        hours.add(datetime(2027, 6, 1, tzinfo=UTC), timedelta(hours=1))


@pytest.mark.django_db
def test_without_a_calendar_every_minute_counts():
    organization = make_organization(time_zone="Europe/Berlin")
    start = local("Europe/Berlin", 2027, 10, 30, 20)
    organization.calendar.delete()
    organization.refresh_from_db()

    assert hours_of(organization).add(start, timedelta(hours=24)) == start.astimezone(UTC) + timedelta(hours=24)


@pytest.mark.django_db
def test_the_organizations_calendar_counts_in_its_zone():
    organization = make_organization(time_zone="America/New_York")
    calendar = organization.calendar
    calendar.weekdays, calendar.opens_at, calendar.closes_at = list(range(5)), time(9), time(17)
    calendar.holidays = [date(2027, 3, 15)]
    calendar.save()

    end = hours_of(organization).add(local("America/New_York", 2027, 3, 12, 16), timedelta(hours=4))

    assert end == datetime(2027, 3, 16, 16, tzinfo=UTC)


@pytest.mark.django_db
def test_no_calendar_opens_and_closes_at_once():
    calendar = make_organization(time_zone="UTC").calendar

    with pytest.raises(IntegrityError, match="accounts_calendar_has_hours"):
        BusinessCalendar.objects.filter(pk=calendar.pk).update(opens_at=time(9), closes_at=time(9))


# --- the oracle ------------------------------------------------------------------------------------------------------


def works(hours: Hours, minute: datetime) -> bool:
    """Whether people work in the minute that begins now, by the clock on their wall."""
    wall = minute.astimezone(hours.zone)
    overnight = time(0) < hours.closes_at < hours.opens_at
    if begins(hours, wall.date()) and wall.time() >= hours.opens_at:
        return overnight or hours.closes_at == time(0) or wall.time() < hours.closes_at
    return overnight and wall.time() < hours.closes_at and begins(hours, wall.date() - timedelta(days=1))


def begins(hours: Hours, day: date) -> bool:
    """Whether people come to work on this day."""
    return day.weekday() in hours.weekdays and day not in hours.holidays


def counted(hours: Hours, start: datetime, minutes: int) -> datetime:
    """Walk minute by minute until so many worked ones have passed."""
    moment = start.astimezone(UTC)
    while minutes:
        minutes -= works(hours, moment)
        moment += MINUTE
    return moment


# Days around the changes of the clock in these zones, and plain ones.
DAYS = st.sampled_from(
    [date(2027, 3, 11), date(2027, 3, 26), date(2027, 3, 27), date(2027, 4, 2), date(2027, 4, 3), date(2027, 6, 1),
     date(2027, 10, 1), date(2027, 10, 2), date(2027, 10, 29), date(2027, 10, 30), date(2027, 11, 5),
     date(2027, 11, 6), date(2027, 12, 30)]
)  # fmt: skip


@st.composite
def calendars(draw: st.DrawFn) -> Hours:
    """Any working week. Opening and closing lie outside the hours in which clocks are changed, except midnight."""
    opens = draw(st.sampled_from([time(0), *(time(hour, minute) for hour in range(4, 14) for minute in (0, 7, 30))]))
    closes = draw(st.sampled_from([time(0), *(time(hour, minute) for hour in range(14, 24) for minute in (0, 59))]))
    if draw(st.booleans()) and time(0) not in (opens, closes):
        opens, closes = closes, opens  # through the night
    return Hours(
        ZoneInfo(draw(st.sampled_from(ZONES))),
        frozenset(draw(st.sets(st.integers(0, 6), min_size=1))),
        opens,
        closes,
        frozenset(draw(st.sets(st.dates(date(2027, 3, 1), date(2028, 1, 10)), max_size=4))),
    )


ANY = (calendars(), DAYS, st.integers(0, 24 * 60 - 1), st.integers(1, 900))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(*ANY)
def test_any_span_ends_where_the_oracle_arrives(hours: Hours, day: date, minute: int, span: int):
    start = datetime.combine(day, time(0), hours.zone).astimezone(UTC) + minute * MINUTE

    assert hours.add(start, span * MINUTE) == counted(hours, start, span)


@pytest.mark.long
@settings(max_examples=2_000, deadline=None, derandomize=True)
@given(*ANY)
def test_two_thousand_spans_end_where_the_oracle_arrives(hours: Hours, day: date, minute: int, span: int):
    start = datetime.combine(day, time(0), hours.zone).astimezone(UTC) + minute * MINUTE

    assert hours.add(start, span * MINUTE) == counted(hours, start, span)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(calendars(), DAYS, st.integers(0, 24 * 60 - 1), st.integers(1, 400), st.integers(1, 400))
def test_two_spans_one_after_the_other_are_their_sum(hours: Hours, day: date, minute: int, first: int, second: int):
    start = datetime.combine(day, time(0), hours.zone).astimezone(UTC) + minute * MINUTE

    assert hours.add(hours.add(start, first * MINUTE), second * MINUTE) == hours.add(start, (first + second) * MINUTE)


@pytest.mark.django_db
@pytest.mark.parametrize(("app", "migration"), [("approvals", "0002"), ("accounts", "0002")])
def test_the_calendars_that_exist_are_not_touched_by_their_move(app: str, migration: str):
    said = StringIO()

    call_command("sqlmigrate", app, migration, stdout=said)

    statements = [
        line for line in said.getvalue().splitlines() if line and not line.startswith(("--", "BEGIN", "COMMIT"))
    ]
    assert statements == []
