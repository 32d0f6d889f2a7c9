"""Business time over changes of the clock, against a slow oracle that walks minute by minute."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import IntegrityError
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.calendar import Hours, hours_of
from accounts.holidays import DaysOff
from accounts.models import BusinessCalendar, DailyBreak
from tests.factories import make_organization

OFFICE = frozenset(range(5))
EVERY_DAY = frozenset(range(7))
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
START = date(2027, 1, 1)


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


LUNCH = (time(12), time(12, 45))


def test_nobody_works_over_lunch():
    hours = replace(office("Europe/Berlin"), breaks=(LUNCH,))
    start = local("Europe/Berlin", 2027, 6, 1, 11, 30)

    assert hours.add(start, timedelta(hours=1)) == local("Europe/Berlin", 2027, 6, 1, 13, 15)
    assert hours.between(start, local("Europe/Berlin", 2027, 6, 1, 17)) == timedelta(hours=4, minutes=45)
    assert hours.add(local("Europe/Berlin", 2027, 6, 1, 12, 10), timedelta(0)) == local(
        "Europe/Berlin", 2027, 6, 1, 12, 45
    )


@pytest.mark.parametrize(
    ("day", "taken", "hours"),
    [
        ((2027, 6, 1), (time(2, 15), time(2, 45)), 7.5),
        # That night there is no quarter past two, and eight hours on the wall are seven.
        ((2027, 3, 27), (time(2, 15), time(2, 45)), 7),
        ((2027, 3, 27), (time(1, 45), time(2, 15)), 6.75),
        # That night it comes twice; the break is taken the first time.
        ((2027, 10, 30), (time(2, 15), time(2, 45)), 8.5),
        ((2027, 6, 1), (time(23, 45), time(0, 15)), 7.5),
    ],
)
def test_a_break_of_a_night_shift_is_taken_once_where_the_clock_shows_it(day, taken, hours):
    nights = Hours(ZoneInfo("Europe/Berlin"), EVERY_DAY, time(22), time(6), frozenset(), (taken,))
    begins_at = local("Europe/Berlin", *day, 22)

    assert nights.between(begins_at, begins_at + timedelta(hours=12)) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("opens", "end"),
    [(time(2, 30), (2027, 3, 28, 4)), (time(2), (2027, 3, 28, 4)), (time(3, 30), (2027, 3, 28, 4, 30))],
)
def test_an_hour_that_the_clock_skips_opens_when_the_skip_is_over(opens, end):
    early = Hours(ZoneInfo("Europe/Berlin"), EVERY_DAY, opens, time(17), frozenset())

    assert early.add(local("Europe/Berlin", 2027, 3, 28, 0), timedelta(hours=1)) == local("Europe/Berlin", *end)


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
def test_public_holidays_are_passed_over_unless_people_work_all_the_same():
    """In England Christmas and Boxing Day of 2027 are made up for on the Monday and the Tuesday after."""
    organization = make_organization()
    calendar = organization.calendar
    calendar.weekdays, calendar.opens_at, calendar.closes_at = list(range(5)), time(9), time(17)
    calendar.country, calendar.subdivision = "GB", "ENG"
    calendar.holidays, calendar.worked_days = [date(2027, 12, 29)], []
    calendar.save()
    DailyBreak.objects.create(calendar=calendar, starts_at=time(12), ends_at=time(13))
    eve = local("Europe/London", 2027, 12, 24, 16)

    assert hours_of(organization).add(eve, timedelta(hours=5)) == local("Europe/London", 2027, 12, 30, 14)
    BusinessCalendar.objects.update(worked_days=[date(2027, 12, 28), date(2027, 12, 25)])
    assert hours_of(organization).add(eve, timedelta(hours=5)) == local("Europe/London", 2027, 12, 25, 14)
    assert hours_of(organization).add(eve, timedelta(hours=12)) == local("Europe/London", 2027, 12, 28, 14)


@pytest.mark.django_db
def test_no_break_lasts_no_time():
    calendar = make_organization(time_zone="UTC").calendar

    with pytest.raises(IntegrityError, match="accounts_dailybreak_lasts"):
        DailyBreak.objects.create(calendar=calendar, starts_at=time(12), ends_at=time(12))


@pytest.mark.django_db
def test_no_calendar_opens_and_closes_at_once():
    calendar = make_organization(time_zone="UTC").calendar

    with pytest.raises(IntegrityError, match="accounts_calendar_has_hours"):
        BusinessCalendar.objects.filter(pk=calendar.pk).update(opens_at=time(9), closes_at=time(9))


# --- the oracle ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=100_000)
def first_shown(zone: ZoneInfo, day: date, wall: time) -> datetime:
    """The first minute in which the clock on the wall shows that time of that day, or has passed it."""
    wanted = datetime.combine(day, wall)
    moment = wanted.replace(tzinfo=UTC) - timedelta(hours=15)
    while moment.astimezone(zone).replace(tzinfo=None) < wanted:
        moment += MINUTE
    return moment


def works(hours: Hours, minute: datetime) -> bool:
    """Whether people work in the minute that begins now, by the clock on their wall."""
    today = minute.astimezone(hours.zone).date()
    return any(begins(hours, day) and in_shift(hours, day, minute) for day in (today - DAY, today))


def in_shift(hours: Hours, day: date, minute: datetime) -> bool:
    """Whether a minute belongs to the shift that begins on a day, and to none of its breaks."""
    overnight = hours.closes_at == time(0) or hours.closes_at < hours.opens_at
    opens = first_shown(hours.zone, day, hours.opens_at)
    closes = first_shown(hours.zone, day + DAY if overnight else day, hours.closes_at)
    for starts_at, ends_at in hours.breaks:
        first = day + DAY if starts_at < hours.opens_at else day
        starts = first_shown(hours.zone, first, starts_at)
        ends = first_shown(hours.zone, first + DAY if ends_at <= starts_at else first, ends_at)
        if starts <= minute < ends:
            return False
    return opens <= minute < closes


def begins(hours: Hours, day: date) -> bool:
    """Whether people come to work on this day."""
    return day in hours.worked or (day.weekday() in hours.weekdays and day not in hours.holidays)


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


# In every hour, those in which clocks are changed too.
WALL = st.builds(time, st.integers(0, 23), st.sampled_from([0, 7, 30, 59]))
OFF = st.sets(st.dates(date(2027, 3, 1), date(2028, 1, 10)), max_size=4)


def later(wall: time, minutes: int) -> time:
    """What the clock shows so many minutes later."""
    return (datetime.combine(START, wall) + minutes * MINUTE).time()


@st.composite
def calendars(draw: st.DrawFn) -> Hours:
    """Any working week, through the day or the night, with breaks, holidays and days worked all the same."""
    opens = draw(WALL)
    # At least four hours, of which breaks take two at most: so the oracle has not far to walk.
    closes = later(opens, draw(st.integers(4 * 60, 24 * 60 - 1))) if draw(st.booleans()) else time(0)
    if opens > time(20):
        closes = later(opens, 300)
    breaks = draw(st.lists(st.tuples(WALL, st.sampled_from([1, 15, 45, 60])), max_size=2))
    country, part = draw(st.sampled_from([("", ""), ("GB", "ENG"), ("DE", "BE"), ("US", ""), ("NP", "")]))
    return Hours(
        ZoneInfo(draw(st.sampled_from(ZONES))),
        frozenset(draw(st.sets(st.integers(0, 6), min_size=1))),
        opens,
        closes,
        DaysOff(frozenset(draw(OFF)), country, part),
        tuple((starts, later(starts, minutes)) for starts, minutes in breaks),
        frozenset(draw(OFF)),
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
