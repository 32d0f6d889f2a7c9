"""A run drawn as the five stages of every automation, with what each took; long waits are cut so that work is seen."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol

from django.utils import timezone
from django.utils.dateformat import format as format_date

from opsdesk.lib.wording import lasted
from workflows.models import Run, StepRun
from workflows.states import RUN_FINAL, RunState

WIDTH = 800
_LEAST_WIDTH = 4
_LETTER = 5.6  # about as wide as one letter of a label
_TICK_ROOM = 56
# From this ratio of the longest to the shortest stretch on, lengths are drawn by their logarithm.
_CUT_FROM = 12
_ORIGIN = timedelta(milliseconds=50)
_NAMES = {
    "trigger": ("Trigger", "zap"),
    "understand": ("Understand", "search"),
    "decide": ("Decide", "scale"),
    "act": ("Act", "credit-card"),
    "verify": ("Verify", "shield-check"),
}
_STAGE_OF_KIND = {
    "gather": "understand",
    "recall": "understand",
    "wait": "understand",
    "decide": "decide",
    "approve": "decide",
}
_TONES: dict[str, str] = {StepRun.Outcome.FAILED: "bad", StepRun.Outcome.SKIPPED: "skip"}
_PENDING = (StepRun.Outcome.WAITING, StepRun.Outcome.FAILED)


class Effect(Protocol):
    """What the timeline reads of an action; actions live on the floor above."""

    created_at: datetime
    first_sent_at: datetime | None
    succeeded_at: datetime | None
    verified_at: datetime | None
    message: str

    @property
    def amount(self) -> Any: ...

    def get_state_display(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in which something was done (work), waited for (wait), wrong (bad) or left out (skip)."""

    start: datetime
    end: datetime
    tone: str = "work"


@dataclass(slots=True)
class Stage:
    """One of the five: its stretches, and what it brought in words."""

    key: str
    spans: list[Span] = field(default_factory=list)
    text: str = ""

    @property
    def took(self) -> str:
        """From its first moment to its last, in words; nothing when it was not reached."""
        if not self.spans:
            return ""
        if all(span.tone == "skip" for span in self.spans):
            return "left out"
        return lasted(max(span.end for span in self.spans) - min(span.start for span in self.spans))


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch as it is drawn."""

    x: float
    width: float
    tone: str


@dataclass(frozen=True, slots=True)
class Row:
    """One stage as it is drawn, its words beside its last bar."""

    name: str
    icon: str
    bars: Sequence[Bar]
    text: str
    text_x: float
    anchor: str
    took: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the page draws. `cut` says that lengths are not to scale."""

    rows: Sequence[Row]
    ticks: Sequence[tuple[float, str, str]]
    cut: bool
    width: int = WIDTH


def stages_of(run: Run, steps: Sequence[StepRun], effects: Sequence[Effect], now: datetime) -> dict[str, Stage]:
    """The five stages of a run: from its case's event to its last verification."""
    stages = {key: Stage(key) for key in _NAMES}
    arrived = _arrival(run)
    stages["trigger"].spans.append(Span(arrived, max(run.started_at, arrived)))
    ended = run.ended_at if run.state in RUN_FINAL and run.state != RunState.FAILED and run.ended_at else now
    previous: StepRun | None = None
    for step in steps:
        stage = stages[_STAGE_OF_KIND.get(step.kind, "act")]
        start = previous.at if previous else run.started_at
        waited = previous is not None and previous.outcome in _PENDING and previous.key == step.key
        if waited:
            stage.spans.append(Span(start, step.at, "wait"))
            start = step.at
        tone = _TONES.get(step.outcome, "work")
        stage.spans.append(Span(start, step.at, tone))
        stage.text = step.note
        previous = step
    if previous is not None and previous.outcome in _PENDING:
        stage = stages[_STAGE_OF_KIND.get(previous.kind, "act")]
        stage.spans.append(Span(previous.at, ended, "wait"))
    if effects:
        _draw_effects(stages, effects, ended)
    return stages


def _arrival(run: Run) -> datetime:
    opening = run.case.events.order_by("pk").values_list("received_at", flat=True).first()
    return min(opening or run.case.opened_at, run.started_at)


def _draw_effects(stages: dict[str, Stage], effects: Iterable[Effect], ended: datetime) -> None:
    """Sending and verifying are told by the actions: the steps around them only wait for these."""
    act, verify = stages["act"], stages["verify"]
    act.spans = [span for span in act.spans if span.tone == "bad"]
    for effect in effects:
        sent = effect.first_sent_at or ended
        accepted = effect.succeeded_at or ended
        act.spans.append(Span(effect.created_at, max(sent, effect.created_at), "wait"))
        act.spans.append(Span(sent, max(accepted, sent), "work" if effect.succeeded_at else "wait"))
        act.text = f"{effect.amount}: {effect.get_state_display().lower()}"
        if effect.succeeded_at:
            end = effect.verified_at or ended
            verify.spans.append(Span(accepted, max(end, accepted), "work" if effect.verified_at else "wait"))
            verify.text = effect.message


def draw(stages: dict[str, Stage]) -> Timeline:
    """Lay the stages out over the width: to scale, or by logarithm where a wait would hide everything else."""
    scale, cut = _scale(
        [moment for stage in stages.values() for span in stage.spans for moment in (span.start, span.end)]
    )
    rows = []
    for key, stage in stages.items():
        bars = [_bar(span, scale) for span in stage.spans if span.tone != "wait" or span.end > span.start]
        rows.append(_row(key, stage, bars))
    return Timeline(rows, _ticks(scale), cut)


def _scale(moments: Iterable[datetime]) -> tuple[dict[datetime, float], bool]:
    """Where each moment stands on the line."""
    ordered = sorted(set(moments))
    gaps = [later - earlier for earlier, later in pairwise(ordered)]
    cut = bool(gaps) and max(gaps) > _CUT_FROM * max(min(gaps), _ORIGIN)
    weights = [math.log1p(gap / _ORIGIN) if cut else gap.total_seconds() for gap in gaps]
    whole = sum(weights) or 1
    scale, done = {}, 0.0
    for moment, weight in zip(ordered, [*weights, 0], strict=True):
        scale[moment] = round(done * (WIDTH - _LEAST_WIDTH) / whole, 1)
        done += weight
    return scale, cut


def _bar(span: Span, scale: dict[datetime, float]) -> Bar:
    start, end = scale[span.start], scale[span.end]
    return Bar(start, round(max(end - start, _LEAST_WIDTH), 1), span.tone)


def _row(key: str, stage: Stage, bars: Sequence[Bar]) -> Row:
    name, icon = _NAMES[key]
    if not bars:
        return Row(name, icon, (), "", 0, "start", "")
    left, right = min(bar.x for bar in bars), max(bar.x + bar.width for bar in bars)
    room = {"start": WIDTH - right - 8, "end": left - 8}
    anchor = "start" if room["start"] >= min(len(stage.text) * _LETTER, room["end"]) else "end"
    letters = max(int(room[anchor] / _LETTER), 1)
    text = stage.text if len(stage.text) <= letters else f"{stage.text[: letters - 1].rstrip()}…"
    return Row(name, icon, bars, text, right + 8 if anchor == "start" else left - 8, anchor, stage.took)


def _ticks(scale: dict[datetime, float]) -> list[tuple[float, str, str]]:
    """Times along the line where there is room for them: position, words, anchor."""
    moments = list(scale)
    if not moments:
        return []
    last = moments[-1]
    words = _wording(moments[0], last)
    ticks: list[tuple[float, str, str]] = []
    for moment in moments[:-1]:
        text = format_date(timezone.localtime(moment), words)
        free = not ticks or (scale[moment] - ticks[-1][0] >= _TICK_ROOM and text != ticks[-1][1])
        if free and scale[last] - scale[moment] >= 2 * _TICK_ROOM:
            ticks.append((scale[moment], text, "start"))
    ticks.append((scale[last], format_date(timezone.localtime(last), words), "end"))
    return ticks


def _wording(first: datetime, last: datetime) -> str:
    if timezone.localtime(first).date() != timezone.localtime(last).date():
        return "j M H:i"
    return "H:i:s" if last - first < timedelta(minutes=30) else "H:i"
