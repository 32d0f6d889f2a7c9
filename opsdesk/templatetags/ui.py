"""Tags and filters of the pages: icons, money, times, people, and the figures that need arithmetic.

Settings make this library a builtin, so that templates use it without a load tag.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zlib import crc32

from django import template
from django.template.defaultfilters import linebreaksbr
from django.utils import timezone
from django.utils.dateformat import format as format_date
from django.utils.html import format_html
from django.utils.safestring import SafeString
from lucide.templatetags.lucide import lucide

from opsdesk.lib import clock, wording
from opsdesk.lib.money import Money

register = template.Library()

ICON_SIZES = {"": 16, "s": 14, "xs": 12}
AVATAR_TONES = ("", "v2", "v3", "v4")
SOON = timedelta(hours=1)  # until() warns below this
CLOSE = timedelta(minutes=10)  # a countdown warns below this
BAR_WIDTH = 104
LINE_WIDTH = 1000
LINE_GAP = 4
LONGEST_SAID = 4_000  # characters of a line that somebody wrote


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """Inline one lucide icon, hidden from screen readers; size is "", "s" or "xs"."""
    return _icon(str(name), str(size))


@lru_cache(maxsize=512)
def _icon(name: str, size: str) -> SafeString:
    return SafeString(lucide(name, size=ICON_SIZES[size], aria_hidden="true", **{"class": f"i {size}".strip()}))


@register.filter
def money(value: Any) -> str:
    """An amount with its currency: “£38.25”, “CHF 38.25”. Takes Money or anything with minor and currency."""
    return "" if value is None else str(_as_money(value))


def _as_money(value: Any) -> Money:
    return value if isinstance(value, Money) else Money(value.minor, value.currency)


@register.filter
def said(text: object) -> SafeString:
    """What somebody wrote, whole and line by line: unseen characters spelled out, its direction kept to itself."""
    lines = (wording.visible(line, at_most=LONGEST_SAID) for line in str(text or "").splitlines())
    shown = linebreaksbr("\n".join(lines), autoescape=True)
    return format_html("<bdi>{}</bdi>", shown)


@register.filter
def outside(text: object) -> SafeString:
    """Text from outside: unseen characters spelled out, long text cut, its direction kept to itself."""
    return format_html("<bdi>{}</bdi>", wording.visible("" if text is None else str(text)))


@register.filter
def plain(code: object) -> SafeString:
    """A code from outside as words: “wrong_item” reads “Wrong item”."""
    return format_html("<bdi>{}</bdi>", wording.plain(str(code or "")))


@register.filter
def span(length: timedelta | None) -> str:
    """A length of time: “48 min”."""
    return "" if length is None else wording.span(length)


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """How long since: “4 min ago”, the exact time on hover."""
    return "" if at is None else _time(at, f"{wording.span(clock.now() - at)} ago")


@register.filter
def age(at: datetime | None) -> SafeString | str:
    """How old: “4 min”, the exact time on hover."""
    return "" if at is None else _time(at, wording.span(clock.now() - at))


@register.filter
def until(at: datetime | None) -> SafeString | str:
    """How long until: “in 48 min”, or “48 min late” once it has passed; the exact time on hover."""
    if at is None:
        return ""
    left = at - clock.now()
    if left < timedelta(0):
        return _time(at, f"{wording.span(left)} late", "late")
    return _time(at, f"in {wording.span(left)}", "soon" if left < SOON else "")


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """The time of day, with the date when it was another day: “10:42”, “31 Aug 10:42”, “31 Aug 2011”."""
    if at is None:
        return ""
    local, today = timezone.localtime(at), timezone.localtime(clock.now())
    if local.date() == today.date():
        return _time(at, format_date(local, "H:i"))
    return _time(at, format_date(local, "j M H:i" if local.year == today.year else "j M Y"))


def _time(at: datetime, words: str, tone: str = "") -> SafeString:
    exact = format_date(timezone.localtime(at), "D j M Y, H:i:s T")
    attribute = format_html(' class="{}"', tone) if tone else ""
    return format_html('<time datetime="{}" title="{}"{}>{}</time>', at.isoformat(), exact, attribute, words)


@register.filter
def initials(name: object) -> str:
    """The one or two letters of an avatar."""
    words = str(name).split()
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper() or "?"


@register.filter
def avatar_tone(name: object) -> str:
    """The same tone for the same person on every page."""
    return AVATAR_TONES[crc32(str(name).encode()) % len(AVATAR_TONES)]


@register.inclusion_tag("ui/_countdown.html")
def countdown(
    until: datetime | None,
    since: datetime | None = None,
    lead: str = "",
    over: str = "time is up",
    idle: str = "not started",
) -> dict[str, Any]:
    """A ring and words that tick, from `since` to `until`; `lead` stands before, `over` ends it."""
    if until is None:
        return {"until": None, "idle": idle}
    left = max(until - clock.now(), timedelta(0))
    whole = until - since if since else left
    return {
        "until": until,
        "since": since,
        "share": round(100 * (left / whole)) if whole else 0,
        "words": wording.span(left) if left else over,
        "lead": lead,
        "over": over,
        "close": left < CLOSE,
    }


@register.inclusion_tag("ui/_bar.html")
def bar(value: float | timedelta, mark: float | timedelta, label: str, reach: float = 4) -> dict[str, Any]:
    """A value against its usual mark. The bar ends at `reach` times the mark and is drawn cut above it."""
    value, mark = _number(value), _number(mark) or 1
    scale = BAR_WIDTH / (reach * mark)
    at, end = mark * scale, min(value * scale, BAR_WIDTH)
    return {
        "label": label,
        "width": BAR_WIDTH,
        "usual": round(min(end, at), 1),
        "above": round(max(end - at, 0), 1),
        "mark": round(at, 1),
        "tone": "over" if value > 2 * mark else "mid",
        "cut": value > reach * mark,
    }


def _number(value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value


@register.inclusion_tag("ui/_money_line.html")
def money_line(  # noqa: PLR0917 - a template tag is called by names
    captured: Any,
    refunded: Any,
    asked: Any,
    captured_note: str = "",
    refunded_note: str = "",
    asked_note: str = "",
    approved: Any = None,
) -> dict[str, Any]:
    """Captured, less refunded before, less asked, is left after. None reads “not known”, never nothing.

    `approved` takes the place of `asked` where people approved another amount.
    """
    amounts = [None if value is None else _as_money(value) for value in (captured, refunded, approved or asked)]
    known = [amount for amount in amounts if amount is not None]
    comparable = len(known) == len(amounts) and len({amount.currency for amount in known}) == 1
    line: dict[str, Any] = {
        "captured": amounts[0],
        "refunded": amounts[1],
        "asked": amounts[2],
        "captured_note": captured_note,
        "refunded_note": refunded_note,
        "asked_note": asked_note,
        "taken": "approved" if approved else "asked",
        "left": None,
    }
    return line | (_left_after(*known) if comparable else {})


def _left_after(captured: Money, refunded: Money, asked: Money) -> dict[str, Any]:
    left = captured - refunded - asked
    # In reading order; asking beyond what was captured stretches the scale and is drawn in its own tone.
    over = max(-left.minor, 0)
    shares = [
        ("gone", min(refunded.minor, captured.minor)),
        ("take", asked.minor - over),
        ("left", max(left.minor, 0)),
        ("over", over),
    ]
    note = f"{_percent(left.minor, captured.minor)} % of what was captured" if captured.minor else ""
    if over:
        note = f"{Money(over, left.currency)} more than is left"
    return {"left": left, "over": over > 0, "left_note": note, "segments": _segments(shares)}


def _percent(part: int, whole: int) -> int:
    return (200 * part + whole) // (2 * whole)


def _segments(shares: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Rectangles drawn to scale on a line of LINE_WIDTH, with a small gap after each."""
    whole = sum(size for _, size in shares if size > 0)
    drawn, done = [], 0
    for kind, size in shares:
        if size > 0:
            start, done = LINE_WIDTH * done // whole, done + size
            width = LINE_WIDTH * done // whole - start - (LINE_GAP if done < whole else 0)
            drawn.append({"kind": kind, "x": start, "width": max(width, 2)})
    return drawn
