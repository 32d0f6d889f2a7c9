"""What an examination says."""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """Only what is wrong makes the doctor end with 1."""

    GOOD = "good"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Opinion:
    """One sentence about how something is, and one about what to do."""

    verdict: Verdict
    words: str
    advice: str = ""


def good(words: str) -> Opinion:
    """All is as it should be."""
    return Opinion(Verdict.GOOD, words)


def noted(words: str, advice: str = "") -> Opinion:
    """Worth knowing; nothing has to be done at once."""
    return Opinion(Verdict.NOTE, words, advice)


def wrong(words: str, advice: str) -> Opinion:
    """Somebody has to do something."""
    return Opinion(Verdict.WRONG, words, advice)


@dataclass(frozen=True, slots=True)
class Examination:
    """One thing the doctor looks at."""

    name: str
    look: Callable[[], Iterable[Opinion]]
    needs_database: bool = True
