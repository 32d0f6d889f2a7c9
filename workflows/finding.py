"""Finding cases by what people know of them: every way leads over an index, however many cases there are."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from workflows.models.cases import SEARCHED, Case

# An index of three-letter pieces knows nothing of shorter words; they only narrow what a longer one found.
SHORTEST_WORD = 3
MOST_WORDS = 8


def words_in(text: str) -> list[str]:
    """The words that are looked for; none where not one of them is long enough to be found."""
    words = text.replace("\x00", "").split()[:MOST_WORDS]
    return words if any(len(word) >= SHORTEST_WORD for word in words) else []


def number_in(text: str) -> int | None:
    """The number in “12” or “CASE-12”; None where it is no number of a case."""
    number = text.strip().upper().removeprefix("CASE-")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None


def long_enough(text: str) -> None:
    """Raise ValidationError for a text that is neither a number nor has a word that can be looked for."""
    if number_in(text) is None and not words_in(text):
        raise ValidationError("Write a word of three letters or more, or the number of a case.")


def with_words(cases: "QuerySet[Case]", text: str) -> "QuerySet[Case]":
    """Cases in whose reference, customer, payment, reason or requester every word occurs, small or large letters."""
    words = words_in(text)
    if not words:
        return cases.none()
    cases = cases.alias(searched=SEARCHED)
    for word in words:
        cases = cases.filter(searched__icontains=word)
    return cases


def keys_of(cases: "QuerySet[Case]", text: str) -> "QuerySet[Case, Any]":
    """The keys of those cases, and of the case with that number; for an IN, each part of it over its own index."""
    found = with_words(cases, text).order_by().values("pk")
    number = number_in(text)
    return found if number is None else found.union(cases.filter(pk=number).order_by().values("pk"), all=True)
