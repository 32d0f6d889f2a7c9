"""The lines of a forecast as SVG: late reviews so far, as it goes, with a lever, and how other days would have gone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from approvals.forecast import Outcome
from approvals.forecasting import Measured
from approvals.levers import Forecast, Lever

WIDTH, HEIGHT = 740, 240
LEFT, RIGHT, TOP, BASE = 26, 690, 26, 206
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Mark:
    """Words, or a line, at a place."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    kind: str = ""


@dataclass(frozen=True, slots=True)
class LineChart:
    """What the template draws: paths as SVG data, grid lines and labels; and the same told in words."""

    grid: Sequence[float]
    labels: Sequence[Mark]
    so_far: str
    goes: str
    lever: str
    fan: str
    now: float
    told: str
    width: int = WIDTH
    height: int = HEIGHT


class _Scale:
    """From instants and counts to places; the top is a round number of at least three steps."""

    def __init__(self, begins: datetime, ends: datetime, most: float) -> None:
        self.begins, self.length = begins, max(ends - begins, timedelta(minutes=1))
        self.step = _step_for(most)
        self.top = self.step * max(-(-int(most + 0.999) // self.step), 3)

    def x(self, at: datetime) -> float:
        return round(LEFT + (RIGHT - LEFT) * ((at - self.begins) / self.length), 1)

    def y(self, count: float) -> float:
        return round(BASE - (BASE - TOP) * count / self.top, 1)

    def line(self, points: Iterable[tuple[datetime, float]]) -> str:
        places = [f"{self.x(at)} {self.y(count)}" for at, count in points]
        return f"M{' L'.join(places)}" if places else ""


def _step_for(most: float) -> int:
    """A round step with at most five of them."""
    power = 1
    while True:
        for step in _STEPS:
            if step * power * 5 >= most:
                return step * power
        power *= 10


def draw(forecast: Forecast, chosen: Lever) -> LineChart:
    """The day from its first hour to its last."""
    measured = forecast.measured
    so_far = [(at, float(late)) for at, late in measured.so_far]
    begins = so_far[0][0] if so_far else measured.now
    goes = _onward(measured, forecast.outcome)
    lever = _onward(measured, chosen.outcome) if chosen.key != "none" else []
    others = [_onward(measured, day) for day in forecast.days]
    most = max(late for line in [so_far, goes, lever, *others] for _, late in line or [(begins, 0.0)])
    scale = _Scale(begins, forecast.ends_at, most)
    return LineChart(
        grid=[scale.y(count) for count in range(scale.step, scale.top + 1, scale.step)],
        labels=[*_side(scale), *_foot(scale, begins, forecast.ends_at), *_ends(scale, goes, lever, measured)],
        so_far=scale.line(so_far),
        goes=scale.line(goes),
        lever=scale.line(lever),
        fan=_fan(scale, others) if len(others) > 1 else "",
        now=scale.x(measured.now),
        told=_told(forecast, chosen),
    )


def _onward(measured: Measured, outcome: Outcome) -> list[tuple[datetime, float]]:
    now = float(measured.so_far[-1][1]) if measured.so_far else 0.0
    return [(measured.now, now), *((point.at, point.late) for point in outcome.points)]


def _fan(scale: _Scale, days: Sequence[Sequence[tuple[datetime, float]]]) -> str:
    """Between the best and the worst of the past days."""
    hours = list(zip(*days, strict=True))
    upper = [(points[0][0], max(late for _, late in points)) for points in hours]
    lower = [(points[0][0], min(late for _, late in points)) for points in hours]
    return f"{scale.line([*upper, *reversed(lower)])}Z"


def _side(scale: _Scale) -> list[Mark]:
    counts = range(0, scale.top + 1, scale.step)
    return [Mark(LEFT - 10, scale.y(count) + 4, str(count), "end") for count in counts]


def _foot(scale: _Scale, begins: datetime, ends: datetime) -> list[Mark]:
    """The hours of the clock, at most eight of them."""
    first, last = timezone.localtime(begins), timezone.localtime(ends)
    whole = max(int((last - first) / timedelta(hours=1)), 1)
    every = max(-(-whole // 8), 1)
    at = first.replace(minute=0, second=0, microsecond=0)
    marks = []
    while at <= last:
        if at >= first:
            marks.append(Mark(scale.x(at), BASE + 23, f"{at:%H:%M}", "middle"))
        at = at + timedelta(hours=every)
    return marks


def _ends(
    scale: _Scale,
    goes: Sequence[tuple[datetime, float]],
    lever: Sequence[tuple[datetime, float]],
    measured: Measured,
) -> list[Mark]:
    now = timezone.localtime(measured.now)
    late = measured.so_far[-1][1] if measured.so_far else 0
    beyond = scale.x(measured.now) > (LEFT + RIGHT) * 0.75
    marks = [
        Mark(scale.x(measured.now) + (-5 if beyond else 5), 18, f"now {now:%H:%M}, {late} late",
             "end" if beyond else "start", "t-now"),
        _end_of(scale, goes),
    ]  # fmt: skip
    if lever and round(lever[-1][1]) != round(goes[-1][1]):
        marks.append(Mark(RIGHT + 8, scale.y(lever[-1][1]) + 4, str(round(lever[-1][1])), kind="t-ok"))
    return marks


def _end_of(scale: _Scale, goes: Sequence[tuple[datetime, float]]) -> Mark:
    """How many are late at the end of the line."""
    late = goes[-1][1]
    return Mark(RIGHT + 8, scale.y(late) + 4, str(round(late)), kind="t-bad" if round(late) else "t-ok")


def _told(forecast: Forecast, chosen: Lever) -> str:
    ends = timezone.localtime(forecast.ends_at)
    words = f"{forecast.breaches} become late by {ends:%H:%M} as it goes"
    return words if chosen.key == "none" else f"{words}, {chosen.late} with: {chosen.label}"
