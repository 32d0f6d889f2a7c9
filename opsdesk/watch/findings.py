"""What a check of the watchdog finds, in the words of an alert."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts.models import Organization


@dataclass(frozen=True, slots=True)
class Moment:
    """When a look happens, by the database's clock, and since when the watchdog has looked without a gap.

    What has been silent is silent since then at the earliest: a desk that has just been started is not late.
    """

    now: datetime
    watching_since: datetime

    def silent(self, last_seen: datetime | None) -> timedelta:
        """How long something has not been seen, as far as anybody has watched."""
        return self.now - max(last_seen or self.watching_since, self.watching_since)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong now. `organization` is None for what concerns the whole desk."""

    subject: str
    words: str
    organization: Organization | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of trouble: the title of its alerts, and the function that finds all there is of it."""

    kind: str
    title: str
    find: Callable[[Moment], Iterable[Finding]]
