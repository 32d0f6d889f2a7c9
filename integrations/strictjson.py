"""Reading JSON from outside without surprises: one meaning for every reader, nothing that the database cannot keep."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from workflows.errors import Unreadable

DEEPEST = 20
MOST_DIGITS = 30
# A string, closed or running to the end: brackets inside it do not count. Possessive, so it stays linear.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def read_object(body: bytes) -> dict[str, Any]:
    """Read one JSON object; fractions stay text (“1.50”), so no float ever appears.

    Raises Unreadable with a sentence for other encodings than UTF-8, broken or ambiguous JSON (duplicate keys,
    NaN, Infinity), lone surrogates and NUL, more than 20 levels, numbers of more than 30 digits, and
    anything but an object at the top.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"The body is not UTF-8 (byte {error.start}).") from error
    _check_depth(body)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_once_each,
            parse_int=_whole,
            parse_float=_fraction,
            parse_constant=_refuse_constant,
        )
    except ValueError as error:
        raise Unreadable(f"The body is not JSON: {str(error)[:120]}.") from error
    if not isinstance(document, dict):
        raise Unreadable("The body is JSON, but not an object.")
    # Only an escape can smuggle these in: raw ones are no UTF-8 and no JSON.
    if b"\\u" in body:
        _check_letters(document)
    return document


def _check_depth(body: bytes) -> None:
    """Count levels before the parser does: it recurses, and dies of too many."""
    if body.count(b"{") + body.count(b"[") <= DEEPEST:
        return
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", body)):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > DEEPEST:
            raise Unreadable(f"The body is nested deeper than {DEEPEST} levels.")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"The body names {twice[:60]!r} twice in one object.")
    return found


def _whole(text: str) -> int:
    _check_digits(text)
    return int(text)


def _fraction(text: str) -> str:
    _check_digits(text)
    try:
        fits = abs(Decimal(text).adjusted()) <= MOST_DIGITS
    except InvalidOperation:
        fits = False  # an exponent that not even Decimal has room for
    if not fits:
        raise Unreadable(f"The number {text[:40]} is out of any range.")
    return text


def _check_digits(text: str) -> None:
    if len(text) > MOST_DIGITS and sum(letter.isdigit() for letter in text) > MOST_DIGITS:
        raise Unreadable(f"A number has more than {MOST_DIGITS} digits.")


def _refuse_constant(name: str) -> NoReturn:
    raise Unreadable(f"The body has {name}, which is not JSON.")


def _check_letters(document: dict[str, Any]) -> None:
    """Refuse text that cannot be stored: NUL and halves of surrogate pairs."""
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str) and ("\0" in value or not _encodes(value)):
            raise Unreadable("A text has a NUL or half a surrogate pair, which no database can keep.")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
