"""Counting business time: only the minutes in which the organization works, in its own zone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from accounts.models import BusinessCalendar, Organization

# A calendar that never opens would be searched for ever.
_MOST_DAYS = 3_660
_NEVER_OPEN = "The calendar has no working time: give it working days and hours."


@dataclass(frozen=True, slots=True)
class Hours:
    """Working hours as plain values: zone, weekdays (0 is Monday), wall times, holidays.

    Who closes earlier than they open works through the night: the shift belongs to the day on which it begins.
    """

    zone: ZoneInfo
    weekdays: frozenset[int]
    opens_at: time
    closes_at: time
    holidays: frozenset[date]

    def span_of(self, day: date) -> tuple[datetime, datetime] | None:
        """Opening and closing instant of what begins on a local day, or None when nothing does.

        Right over changes of the clock.
        """
        if day.weekday() not in self.weekdays or day in self.holidays:
            return None
        closing_day = day + timedelta(days=1) if self.closes_at == time(0) or self.closes_at < self.opens_at else day
        opens = datetime.combine(day, self.opens_at, self.zone).astimezone(UTC)
        closes = datetime.combine(closing_day, self.closes_at, self.zone).astimezone(UTC)
        return opens, closes

    def add(self, start: datetime, span: timedelta) -> datetime:
        """The instant (UTC) at which `span` of business time after `start` has passed.

        Raises ValueError when the calendar has no working time within ten years.
        """
        left = span
        day = start.astimezone(self.zone).date() - timedelta(days=1)  # the shift of last night may go on
        for _ in range(_MOST_DAYS):
            hours = self.span_of(day)
            if hours is not None:
                opens, closes = max(hours[0], start), hours[1]
                if opens < closes:
                    if closes - opens >= left:
                        return opens + left
                    left -= closes - opens
            day += timedelta(days=1)
        raise ValueError(_NEVER_OPEN)

    def between(self, start: datetime, end: datetime) -> timedelta:
        """How much business time lies between two instants; nothing when `end` is not later."""
        found = timedelta()
        day = start.astimezone(self.zone).date() - timedelta(days=1)  # the shift of last night may go on
        last = end.astimezone(self.zone).date()
        while day <= last:
            hours = self.span_of(day)
            if hours is not None:
                found += max(min(hours[1], end) - max(hours[0], start), timedelta())
            day += timedelta(days=1)
        return found

    def next_working_day(self, start: datetime, at: time) -> datetime:
        """The instant (UTC) at which the clock on the wall shows `at` on the first working day after that of `start`.

        A time that the clock skips that day comes when the skip is over. Raises ValueError as `add` does.
        """
        day = start.astimezone(self.zone).date()
        for _ in range(_MOST_DAYS):
            day += timedelta(days=1)
            if self.span_of(day) is not None:
                return datetime.combine(day, at, self.zone).astimezone(UTC)
        raise ValueError(_NEVER_OPEN)


def hours_of(organization: Organization) -> Hours:
    """The organization's hours; without a calendar every minute counts."""
    calendar = BusinessCalendar.objects.filter(organization=organization).first()
    zone = ZoneInfo(organization.time_zone)
    if calendar is None:
        return Hours(zone, frozenset(range(7)), time(0), time(0), frozenset())
    return Hours(
        zone,
        frozenset(calendar.weekdays),
        calendar.opens_at,
        calendar.closes_at,
        frozenset(calendar.holidays),
    )
