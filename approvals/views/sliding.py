"""Limits while they are moved: where they would stand over past amounts, and what would have gone another way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from approvals.drafting import Limits
from approvals.views.banding import COLUMNS, Board, Part, round_up, told
from opsdesk.lib.money import EXPONENTS, BadAmount, Money
from workflows.states import Tier

LIMITS = {"instant": "Instant up to", "fast_track": "Fast-track up to"}
# The drawing, in its own units: the line begins half a thumb of the sliders in, and so it ends.
EDGE, SPAN, BASE, TALL = 10, 720, 106, 70
_KINDS = {Tier.INSTANT: "b1", Tier.FAST_TRACK: "b2", Tier.FULL_REVIEW: "b3"}
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Mark:
    """A limit on the line with its words."""

    x: float
    text: str
    anchor: str
    kind: str


@dataclass(frozen=True, slots=True)
class Column:
    """How many past amounts lie here; `moved` says that they would go another way."""

    x: float
    y: float
    height: float
    moved: bool


@dataclass(frozen=True, slots=True)
class Control:
    """One limit as it is typed and as it slides; where it slides to the end there is no limit."""

    name: str
    label: str
    typed: str
    at: str
    top: str
    step: str

    @property
    def dashed(self) -> str:
        """As elements are named after it."""
        return dashed(self.name)


def dashed(name: str) -> str:
    """The name of a limit as ids have it."""
    return name.replace("_", "-")


def tier_of(limits: Limits, minor: int) -> Tier:
    """The consent that an amount needs by limits."""
    if limits.instant is None or minor <= limits.instant:
        return Tier.INSTANT
    return Tier.FAST_TRACK if limits.fast_track is None or minor <= limits.fast_track else Tier.FULL_REVIEW


def asked_of(board: Board, asked: Mapping[str, str]) -> Limits:
    """The limits that were typed (`instant`) or slid to (`instant_at`), beside those that nobody touched.

    The one that slides takes the other along. Raises BadAmount for what is no amount.
    """
    found = [_one(board, asked, name, minor) for name, minor in zip(LIMITS, _of_group(board), strict=True)]
    instant, fast = found
    if fast is not None and (instant is None or instant > fast):
        if "fast_track_at" in asked and "instant_at" not in asked:
            instant = fast
        elif "instant_at" in asked:
            fast = instant
    return Limits(instant, fast)


def _of_group(board: Board) -> tuple[int | None, int | None]:
    limits = board.group.limits if board.group is not None else Limits(0, 0)
    return limits.instant, limits.fast_track


def _one(board: Board, asked: Mapping[str, str], name: str, kept: int | None) -> int | None:
    slid, typed = asked.get(f"{name}_at", "").strip(), asked.get(name)
    if slid:
        minor = Money.parse(slid, board.currency).minor
        return None if minor >= board.top else max(minor, 0)
    if typed is None:
        return kept
    if not typed.strip():
        return None
    minor = Money.parse(typed.strip(), board.currency).minor
    if minor < 0:
        raise BadAmount("A limit is not below 0.")
    return minor


@dataclass(frozen=True)
class Preview:
    """The chosen bands with other limits, against those in force. `problem`: what was typed is no limit."""

    board: Board
    limits: Limits
    problem: str = ""

    @property
    def live(self) -> Limits:
        """In force for these requests; where they have no bands of their own, as the draft has them."""
        group = self.board.group
        return (group.live if group is not None else None) or self.limits

    @property
    def changed(self) -> bool:
        return self.live != self.limits

    @property
    def told(self) -> str:
        return told(self.limits, self.board.currency)

    @property
    def told_live(self) -> str:
        return told(self.live, self.board.currency)

    def _x(self, minor: int | None) -> float:
        return float(EDGE + SPAN) if minor is None else round(EDGE + min(minor / self.board.top, 1) * SPAN, 1)

    @property
    def parts(self) -> list[Part]:
        """The bands on the line."""
        first, second, end = self._x(self.limits.instant), self._x(self.limits.fast_track), float(EDGE + SPAN)
        spans = zip(_KINDS.values(), (EDGE, first, max(first, second)), (first, second, end), strict=True)
        return [Part(kind, begin, round(stop - begin, 1)) for kind, begin, stop in spans if stop > begin]

    @property
    def moved(self) -> list[Part]:
        """The stretches of amounts that would go another way."""
        if not self.changed:
            return []
        pairs = zip(
            (self.live.instant, self.live.fast_track), (self.limits.instant, self.limits.fast_track), strict=True
        )
        ends = [sorted((self._x(old), self._x(new))) for old, new in pairs]
        return [Part("moved", begin, round(end - begin, 1)) for begin, end in ends if end > begin]

    @property
    def columns(self) -> list[Column]:
        """The past amounts in columns."""
        counted, wide = [0] * COLUMNS, SPAN / COLUMNS
        for minor in self.board.past:
            counted[min(minor * COLUMNS // self.board.top, COLUMNS - 1)] += 1
        most, found = max(counted, default=0) or 1, []
        for place, count in enumerate(counted):
            middle = (2 * place + 1) * self.board.top // (2 * COLUMNS)
            moved = tier_of(self.live, middle) != tier_of(self.limits, middle)
            height = round(count / most * TALL, 1)
            found.append(Column(round(EDGE + place * wide + 2, 1), round(BASE - height, 1), height, moved))
        return found

    @property
    def marks(self) -> Sequence[Mark]:
        """Each limit with its amount, and where it was; the two limits never write over each other."""
        found = []
        for name, new, old in zip(
            ("instant", "fast-track"),
            (self.limits.instant, self.limits.fast_track),
            (self.live.instant, self.live.fast_track),
            strict=True,
        ):
            if old != new and old is not None:
                found.append(Mark(self._x(old), "", "start", "was"))
            if new is not None and not (name == "instant" and new == self.limits.fast_track):
                anchor = "end" if name == "instant" else "start"
                anchor = "start" if self._x(new) < 130 else "end" if self._x(new) > 610 else anchor
                found.append(Mark(self._x(new), str(Money(new, self.board.currency)), anchor, "cut"))
        return found

    @property
    def ticks(self) -> list[Mark]:
        """Amounts below the line."""
        anchors = ["start", *["middle"] * (_TICKS - 1), "end"]
        return [
            Mark(EDGE + SPAN * place / _TICKS, self._short(self.board.top * place // _TICKS), anchor, "")
            for place, anchor in enumerate(anchors)
        ]

    def _short(self, minor: int) -> str:
        """An amount without an empty fraction."""
        money, digits = Money(minor, self.board.currency), EXPONENTS[self.board.currency]
        return str(money).removesuffix("." + "0" * digits) if digits else str(money)

    @cached_property
    def counted(self) -> tuple[int, int, int, int]:
        """How many would need less consent, how many more; minor units that would ask nobody any more, and again."""
        less = more = freed = bound = 0
        for minor in self.board.past:
            old, new = tier_of(self.live, minor), tier_of(self.limits, minor)
            less, more = less + (new.rank < old.rank), more + (new.rank > old.rank)
            if old != new:
                freed += minor if new == Tier.INSTANT else 0
                bound += minor if old == Tier.INSTANT else 0
        return less, more, freed, bound

    @property
    def sums(self) -> str:
        """What would have gone another way, in a sentence."""
        less, more, freed, bound = self.counted
        total = len(self.board.past)
        if not less + more:
            return "None of these past requests would go another way by their amount."
        parts = [f"{less} would need less consent"] if less else []
        parts += [f"{more} more" if less else f"{more} would need more consent"] if more else []
        money = [f"{Money(freed, self.board.currency)} would go out without a person"] if freed else []
        money += [f"{Money(bound, self.board.currency)} would no longer"] if bound else []
        told_money = f" {', '.join(money)}." if money else ""
        return f"Of {total} past requests {' and '.join(parts)}, by their amount alone.{told_money}"

    @property
    def controls(self) -> list[Control]:
        """Both limits as they are typed and slid."""
        return [
            Control(
                name,
                label,
                "" if minor is None else self._decimal(minor),
                self._decimal(self.board.top if minor is None else min(minor, self.board.top)),
                self._decimal(self.board.top),
                self._decimal(self._step),
            )
            for (name, label), minor in zip(LIMITS.items(), (self.limits.instant, self.limits.fast_track), strict=True)
        ]

    @property
    def _step(self) -> int:
        """By how much an arrow key moves a slider: a whole unit, or more on a long line."""
        unit: int = 10 ** EXPONENTS[self.board.currency]
        return round_up(max(self.board.top // unit // 500, 1)) * unit

    @property
    def step_money(self) -> str:
        return self._short(self._step)

    def _decimal(self, minor: int) -> str:
        return str(Money(minor, self.board.currency).decimal)
