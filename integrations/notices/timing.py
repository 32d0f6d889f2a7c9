"""When a notice goes out: at once, with others at the next hour or the person's own time, and not in quiet hours."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from integrations.models.chat import How


@dataclass(frozen=True, slots=True)
class Going:
    """When it goes out, and whether in one message with whatever else is due to the same place then."""

    at: datetime
    bundled: bool


@dataclass(frozen=True, slots=True)
class Hours:
    """A person's clock: zone, when the daily summary goes out, and quiet hours, which may reach over midnight."""

    zone: ZoneInfo
    daily_at: time
    quiet_from: time | None = None
    quiet_until: time | None = None

    def is_quiet(self, moment: datetime) -> bool:
        """Whether nothing should be heard at this instant."""
        if self.quiet_from is None or self.quiet_until is None:
            return False
        at = moment.astimezone(self.zone).time()
        if self.quiet_from < self.quiet_until:
            return self.quiet_from <= at < self.quiet_until
        return at >= self.quiet_from or at < self.quiet_until

    def next(self, at: time, after: datetime) -> datetime:
        """The first instant after `after` at which the clock on the wall reads `at`.

        A reading that a day leaves out counts an hour later; of one that comes twice, the first.
        """
        day = after.astimezone(self.zone).date()
        found = self._instant(day, at)
        return found if found > after else self._instant(day + timedelta(days=1), at)

    def _instant(self, day: date, at: time) -> datetime:
        return datetime.combine(day, at, self.zone).astimezone(UTC)


def going(how: How, hours: Hours, now: datetime, *, presses: bool) -> Going | None:
    """When a notice written at `now` goes out; None when it does not go this way. `presses`: it may break the quiet."""
    if how == How.NEVER:
        return None
    if how == How.AT_ONCE:
        plan = Going(now, bundled=False)
    elif how == How.HOURLY:
        plan = Going(now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1), bundled=True)
    else:
        plan = Going(hours.next(hours.daily_at, now), bundled=True)
    if presses or hours.quiet_until is None or not hours.is_quiet(plan.at):
        return plan
    return Going(hours.next(hours.quiet_until, plan.at), bundled=True)
