"""Figures as rectangles: templates draw them, nothing here knows what they count."""

from collections.abc import Sequence
from dataclasses import dataclass

STEPS = (1, 2, 3, 4, 5, 6, 8)


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle with the class that colours it."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Label:
    """Words at a place."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Chart:
    """What one SVG holds: rectangles, grid lines (y), labels, where `now` is, and the same told in words."""

    width: int
    height: int
    rects: Sequence[Rect]
    labels: Sequence[Label]
    grid: Sequence[float] = ()
    base: float = 0
    now: float | None = None
    told: str = ""


def ceiling(most: int) -> int:
    """The next round number, for the top of an axis: 1, 2, 3, 4, 5, 6, 8, 10, 20 …"""
    power = 1
    while True:
        for step in STEPS:
            if step * power >= most:
                return step * power
        power *= 10


def stacked(
    columns: Sequence[tuple[int, int]],
    *,
    names: dict[int, str],
    now: float,
    told: str,
    width: int = 500,
    height: int = 118,
) -> Chart:
    """Two-part columns, the first part below; `names` labels some columns, `now` counts in columns."""
    top, base, right = 12, height - 24, width - 24
    slot = right / len(columns)
    limit = ceiling(max((sum(column) for column in columns), default=0) or 1)
    scale = (base - top) / limit
    rects = []
    for place, (lower, upper) in enumerate(columns):
        x, y = place * slot + 2, float(base)
        for kind, count in (("c1", lower), ("c2", upper)):
            if count:
                tall = max(count * scale - (1 if kind == "c2" else 0), 1)
                y -= tall + (1 if kind == "c2" else 0)
                rects.append(Rect(kind, round(x, 1), round(y, 1), round(slot - 4, 1), round(tall, 1)))
    labels = [Label(round(place * slot, 1), height - 7, text) for place, text in names.items()]
    labels += [Label(width, top + 4, str(limit), "end"), Label(round(now * slot, 1) + 4, top - 2, "now")]
    return Chart(width, height, rects, labels, grid=(top,), base=base + 0.5, now=round(now * slot, 1), told=told)


def across(rows: Sequence[tuple[str, int, str]], *, width: int = 300, height: int = 92) -> Chart:
    """One bar a row: class, size, words behind it."""
    most = max((size for _, size, _ in rows), default=0)
    rects, labels = [], []
    for place, (kind, size, text) in enumerate(rows):
        y = 6 + place * 28
        long = round((width - 130) * size / most, 1) if most else 0
        if size:
            rects.append(Rect(kind, 0, y, max(long, 3), 12))
        labels.append(Label(max(long, 3) + 7 if size else 0, y + 10, text))
    return Chart(width, height, rects, labels, told=", ".join(text for _, _, text in rows))


def histogram(counts: Sequence[int], *, names: dict[int, str], told: str, width: int = 300, height: int = 92) -> Chart:
    """Columns side by side; `names` labels the right edge of some."""
    base = height - 18
    slot = (width - 6) / len(counts)
    most = max(counts, default=0) or 1
    rects = [
        Rect(
            "c1", round(place * slot, 1), round(base - max(70 * count / most, 2), 1), round(slot - 4, 1),
            round(max(70 * count / most, 2), 1),
        )
        for place, count in enumerate(counts)
        if count
    ]  # fmt: skip
    labels = [Label(round((place + 1) * slot - 2, 1), height - 2, text, "middle") for place, text in names.items()]
    return Chart(width, height, rects, labels, base=base + 0.5, told=told)
