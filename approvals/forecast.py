"""How many reviews of a queue will be late by the end of the day: the queue played through, hour by hour.

The play is as plain as a spreadsheet, so that whoever reads it can follow it. In each hour those who are on work
off what is due first; whoever arrives in an hour may be taken in it. What is due by the end of an hour and was not
taken is late then. Amounts are parts of reviews, because half a review an hour is one in two hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

# Less than this is no review: sums of parts do not come out even.
CRUMB = 1e-9


@dataclass(frozen=True, slots=True)
class Hour:
    """A stretch of working time: who is on, and what arrives in it with the due time it gets."""

    starts: datetime
    ends: datetime
    people: float
    arrivals: float
    due_of_arrivals: datetime

    @property
    def length(self) -> timedelta:
        """How long it is: the first one is what is left of this hour."""
        return self.ends - self.starts


@dataclass(frozen=True, slots=True)
class Day:
    """What is played: the due times of what waits now, and the hours that are left."""

    waiting: Sequence[datetime]
    hours: Sequence[Hour]
    handling: timedelta  # what one person needs for one review


@dataclass(frozen=True, slots=True)
class Point:
    """How things stand at an instant: reviews that are late, and all that wait."""

    at: datetime
    late: float
    waiting: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a day: one point an hour, what became late in it, and when that began."""

    points: Sequence[Point]
    breaches: float
    first_at: datetime | None
    spare: Sequence[float]  # hours of people that nothing was left for, hour by hour

    @property
    def late_at_end(self) -> float:
        """Reviews that are late when the day ends."""
        return self.points[-1].late if self.points else 0.0


def play(day: Day) -> Outcome:
    """Work the day through, what is due first being taken first."""
    queue = [(due, 1.0) for due in day.waiting]
    heapify(queue)
    points, spare, breaches, first_at = [], [], 0.0, None
    for hour in day.hours:
        if hour.arrivals > CRUMB:
            heappush(queue, (hour.due_of_arrivals, hour.arrivals))
        left = _work_off(queue, hour.people * (hour.length / day.handling))
        spare.append(left * (day.handling / timedelta(hours=1)))
        late = sum(count for due, count in queue if due <= hour.ends)
        became = sum(count for due, count in queue if hour.starts < due <= hour.ends)
        breaches += became
        if became > CRUMB and first_at is None:
            first_at = min(due for due, _ in queue if due > hour.starts)
        points.append(Point(hour.ends, late, sum(count for _, count in queue)))
    return Outcome(points, breaches, first_at, spare)


def _work_off(queue: list[tuple[datetime, float]], able: float) -> float:
    """Take as much as can be done from the head of the queue; returns what could have been done beyond it."""
    while queue and able > CRUMB:
        due, count = heappop(queue)
        taken = min(count, able)
        able -= taken
        if count - taken > CRUMB:
            heappush(queue, (due, count - taken))
    return max(able, 0.0)


def with_people(day: Day, more: float, *, hours: int, after: int = 0) -> Day:
    """The same day with so many more people for so many hours, from the hour of that place on."""
    chosen = range(after, after + hours)
    return replace(
        day,
        hours=[
            replace(hour, people=hour.people + more) if place in chosen else hour
            for place, hour in enumerate(day.hours)
        ],
    )


def with_arrivals(day: Day, arrivals: Sequence[float]) -> Day:
    """The same day with other arrivals, hour by hour."""
    return replace(day, hours=[replace(hour, arrivals=count) for hour, count in zip(day.hours, arrivals, strict=True)])


def with_fewer(day: Day, share: float) -> Day:
    """The same day when that share of what arrives, 0 to 1, no longer comes to the queue. What waits stays."""
    return with_arrivals(day, [hour.arrivals * (1 - share) for hour in day.hours])


def help_needed(day: Day, *, most: int = 4) -> tuple[int, int] | None:
    """The fewest people, and for them the fewest hours from now, with which nothing more becomes late.

    None when `most` people for the rest of the day are not enough.
    """
    for people in range(1, most + 1):
        for hours in range(1, len(day.hours) + 1):
            if play(with_people(day, people, hours=hours)).breaches < 0.5:
                return people, hours
    return None
