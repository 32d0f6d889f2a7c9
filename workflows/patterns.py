"""Patterns that people write: read by RE2, whose time grows with the text alone, whatever the pattern."""

from functools import lru_cache
from typing import Any

import re2

LONGEST_PATTERN = 200  # characters
# A longer text is not looked at; whether it matches is not known then, so a person looks.
LONGEST_LOOKED_AT = 10_000
_MOST_MEMORY = 1 << 20  # bytes of one pattern made ready


class BadPattern(ValueError):
    """Not a pattern, or one that would take too much."""


@lru_cache(maxsize=1024)
def read(pattern: str) -> Any:
    """A pattern made ready. Raises BadPattern with a sentence that says what is wrong."""
    if not pattern.strip():
        raise BadPattern("The pattern is empty: it would match everything.")
    if len(pattern) > LONGEST_PATTERN:
        raise BadPattern(f"A pattern has at most {LONGEST_PATTERN} characters.")
    options = re2.Options()
    options.max_mem, options.log_errors, options.never_capture = _MOST_MEMORY, False, True
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as odd:
        raise BadPattern(f"“{pattern[:40]}” is no pattern: {_said(odd)}.") from odd


def is_found(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in a text. Raises BadPattern, and ValueError where that is not known."""
    if len(text) > LONGEST_LOOKED_AT:
        raise ValueError(f"A text of {len(text)} characters is too long to be looked through.")
    return read(pattern).search(text) is not None


def _said(odd: Exception) -> str:
    """RE2's own words, which come as bytes."""
    told = odd.args[0] if odd.args else ""
    return told.decode(errors="replace") if isinstance(told, bytes) else "it holds characters that are none"
