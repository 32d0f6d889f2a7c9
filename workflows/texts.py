"""Texts with places for values: “{amount} for {case}”. A place names a value of the case or a fact.

There is no language in it: what stands between braces is looked up in a list, and what is put in is never read again.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from opsdesk.lib.money import Money
from opsdesk.lib.wording import visible
from workflows import facts
from workflows.models import Case

LONGEST = 2_000  # characters
_PLACE = re.compile(r"\{([^{}]*)\}")


def _granted(case: Case) -> Money | None:
    """The most that may go back: people may have approved less than what is asked."""
    grant = case.authorizations.order_by("-pk").first()
    return grant.amount if grant is not None else None


CASE_VALUES: dict[str, Callable[[Case], str]] = {
    "case": str,
    "case.key": lambda case: case.key,
    "case.who": lambda case: case.who,
    "case.amount": lambda case: str(case.amount) if case.amount else "no amount",
    "case.granted": lambda case: str(granted) if (granted := _granted(case)) else "nothing",
    "case.reason": lambda case: case.reason or "no reason given",
    "case.standing": lambda case: case.standing,
}


def check(text: object, *, most: int = LONGEST) -> list[str]:
    """Sentences about what is wrong with a text; none means that all its places can be filled."""
    if not isinstance(text, str) or not text.strip():
        return ["a text is needed."]
    if len(text) > most:
        return [f"a text has at most {most:,} characters."]
    known = {*CASE_VALUES, *facts.catalogue()}
    problems = [
        f"“{{{name[:40]}}}” names no value: there is {', '.join(CASE_VALUES)} and every fact."
        for name in _PLACE.findall(text)
        if name not in known
    ]
    if set("{}") & set(_PLACE.sub("", text)):
        problems.append("a brace stands alone: braces only go around the name of a value.")
    return problems


def fill(text: str, case: Case, found: Mapping[str, Any]) -> str:
    """A checked text with the values of a case and its facts; what is not known is said to be so."""
    return _PLACE.sub(lambda place: _value(place[1], case, found), text)


def _value(name: str, case: Case, found: Mapping[str, Any]) -> str:
    if name in CASE_VALUES:
        return visible(CASE_VALUES[name](case))
    return visible(facts.in_words(name, facts.value_of(found, name), case.currency))
