"""How lengths of time and text from outside read on a screen or in a mail."""

import unicodedata
from datetime import datetime, timedelta, tzinfo

# Control, format (bidirectional overrides, zero-width), surrogate, and line separator characters:
# all can make a text look like another one.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def span(length: timedelta) -> str:
    """A length of time in at most two units: 45 s, 48 min, 1 h 05, 2 d 3 h, 96 d."""
    seconds = int(abs(length).total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 1:
        return f"{seconds} s"
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60:02d}" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 and days < 10 else f"{days} d"


def moment(at: datetime, zone: tzinfo) -> str:
    """An instant as the clock on the wall says it, with its day: “Mon 23 Nov 2026 09:00”."""
    local = at.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b %Y %H:%M}"


def lasted(length: timedelta) -> str:
    """How long something took: 40 ms, 1.8 s, then as `span` says it."""
    seconds = abs(length).total_seconds()
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    return f"{seconds:.1f} s" if seconds < 10 else span(length)


def visible(text: str, *, at_most: int = 300) -> str:
    """Text from outside with its unseen characters spelled out, so that it cannot pose as another text."""
    shown = "".join(_spelled(letter) for letter in text[:at_most])
    return f"{shown}…" if len(text) > at_most else shown


def plain(code: str) -> str:
    """A code from outside as words: “wrong_item” reads “Wrong item”."""
    words = visible(code, at_most=60).replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]


def _spelled(letter: str) -> str:
    if letter in "\n\t":
        return " "
    return f"[U+{ord(letter):04X}]" if unicodedata.category(letter) in _UNSEEN else letter
