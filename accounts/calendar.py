"""Counting business time: only the minutes in which the organization works, in its own zone."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from accounts.holidays import DaysOff
from accounts.models import BusinessCalendar, Organization

# A calendar that never opens would be searched for ever.
_MOST_DAYS = 3_660
_NEVER_OPEN = "The calendar has no working time: give it working days and hours."
_DAY = timedelta(days=1)
Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Hours:
    """Working hours as plain values: zone, weekdays (0 is Monday), wall times, holidays, breaks.

    Who closes earlier than they open works through the night: the shift belongs to the day on which it begins, and so
    do its breaks. On `worked` days people work though it is a holiday, or no weekday of theirs.
    """

    zone: ZoneInfo
    weekdays: frozenset[int]
    opens_at: time
    closes_at: time
    holidays: Container[date]
    breaks: tuple[tuple[time, time], ...] = ()
    worked: frozenset[date] = frozenset()

    def begins_on(self, day: date) -> bool:
        """Whether people come to work on a local day."""
        return day in self.worked or (day.weekday() in self.weekdays and day not in self.holidays)

    def span_of(self, day: date) -> Span | None:
        """Opening and closing instant of what begins on a local day, breaks included, or None when nothing does.

        Right over changes of the clock.
        """
        if not self.begins_on(day):
            return None
        overnight = self.closes_at == time(0) or self.closes_at < self.opens_at
        return self._instant(day, self.opens_at), self._instant(day + _DAY if overnight else day, self.closes_at)

    def spans_of(self, day: date) -> list[Span]:
        """What is worked of what begins on a local day, between the breaks, in order; nothing when nothing does."""
        whole = self.span_of(day)
        if whole is None:
            return []
        found, (begin, end) = [], whole
        for starts, ends in sorted(self.break_on(day, *each) for each in self.breaks):
            if begin < min(starts, end):
                found.append((begin, min(starts, end)))
            begin = max(begin, ends)
        return [*found, (begin, end)] if begin < end else found

    def break_on(self, day: date, starts_at: time, ends_at: time) -> Span:
        """A break of the shift that begins on a day: what lies before opening is of the next morning."""
        first = day + _DAY if starts_at < self.opens_at else day
        last = first + _DAY if ends_at <= starts_at else first
        return self._instant(first, starts_at), self._instant(last, ends_at)

    def _instant(self, day: date, wall: time) -> datetime:
        """When the clock on the wall first shows a time; one that it skips comes when the skip is over."""
        local = datetime.combine(day, wall, self.zone)
        moment = local.astimezone(UTC)
        if moment.astimezone(self.zone).replace(tzinfo=None) == local.replace(tzinfo=None):
            return moment
        # Between the two readings of a time that never was lies the change; look for it by halves.
        before, after = local.replace(fold=1).astimezone(UTC), moment
        offset = before.astimezone(self.zone).utcoffset()
        while after - before > timedelta(seconds=1):
            middle = before + (after - before) // 2
            if middle.astimezone(self.zone).utcoffset() == offset:
                before = middle
            else:
                after = middle
        return after.replace(microsecond=0)

    def add(self, start: datetime, span: timedelta) -> datetime:
        """The instant (UTC) at which `span` of business time after `start` has passed.

        Raises ValueError when the calendar has no working time within ten years.
        """
        left = span
        day = start.astimezone(self.zone).date() - _DAY  # the shift of last night may go on
        for _ in range(_MOST_DAYS):
            for begin, closes in self.spans_of(day):
                opens = max(begin, start)
                if opens < closes:
                    if closes - opens >= left:
                        return opens + left
                    left -= closes - opens
            day += _DAY
        raise ValueError(_NEVER_OPEN)

    def between(self, start: datetime, end: datetime) -> timedelta:
        """How much business time lies between two instants; nothing when `end` is not later."""
        first = start.astimezone(self.zone).date() - _DAY  # the shift of last night may go on
        last = end.astimezone(self.zone).date()
        worked = (
            min(closes, end) - max(opens, start) for day in _days(first, last) for opens, closes in self.spans_of(day)
        )
        return sum((max(each, timedelta()) for each in worked), timedelta())

    def next_working_day(self, start: datetime, at: time) -> datetime:
        """The instant (UTC) at which the clock on the wall shows `at` on the first working day after that of `start`.

        A time that the clock skips that day comes when the skip is over. Raises ValueError as `add` does.
        """
        day = start.astimezone(self.zone).date()
        for _ in range(_MOST_DAYS):
            day += _DAY
            if self.begins_on(day):
                return self._instant(day, at)
        raise ValueError(_NEVER_OPEN)


def _days(first: date, last: date) -> Iterator[date]:
    for count in range((last - first).days + 1):
        yield first + timedelta(days=count)


def hours_of(organization: Organization) -> Hours:
    """The organization's hours; without a calendar every minute counts."""
    calendar = BusinessCalendar.objects.filter(organization=organization).prefetch_related("breaks").first()
    zone = ZoneInfo(organization.time_zone)
    if calendar is None:
        return Hours(zone, frozenset(range(7)), time(0), time(0), frozenset())
    return Hours(
        zone,
        frozenset(calendar.weekdays),
        calendar.opens_at,
        calendar.closes_at,
        DaysOff(frozenset(calendar.holidays), calendar.country, calendar.subdivision),
        tuple((each.starts_at, each.ends_at) for each in calendar.breaks.all()),
        frozenset(calendar.worked_days),
    )
