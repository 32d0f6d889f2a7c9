"""Facts: typed values with a source and a time, from a declared catalogue.

On a run and in a decision a fact is `{"value": …, "source": words, "at": ISO instant}`; one that could not be had is
`{"value": None, "source": words, "at": …, "why": sentence}`. Values by type: money is integer minor units of the
case's currency, count and days are integers, ratio is a decimal string, flag is a boolean, text is text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from opsdesk.lib.money import Money


@dataclass(frozen=True, slots=True)
class FactType:
    """One entry of the catalogue."""

    name: str
    type: str  # money, count, days, ratio, flag or text
    unit: str
    source: str
    sentence: str
    label: str


_catalogue: dict[str, FactType] = {}


def declare(*facts: FactType) -> None:
    """Add facts to the catalogue; a name may be declared once."""
    for fact in facts:
        if _catalogue.setdefault(fact.name, fact) != fact:
            raise ValueError(f"The fact {fact.name} is declared twice.")


def catalogue() -> dict[str, FactType]:
    """Every declared fact by name."""
    return dict(_catalogue)


def known(value: object, source: str, at: datetime) -> dict[str, Any]:
    """A fact that was found."""
    return {"value": value, "source": source, "at": at.isoformat()}


def missing(why: str, source: str, at: datetime) -> dict[str, Any]:
    """A fact that could not be had; not known is not “no”."""
    return {"value": None, "source": source, "at": at.isoformat(), "why": why}


def well_typed(fact: FactType, value: object) -> bool:
    """Whether a value is of the fact's type; a wrongly typed one counts as missing."""
    match fact.type:
        case "money" | "count" | "days":
            return isinstance(value, int) and not isinstance(value, bool)
        case "ratio":
            return isinstance(value, str) and _as_decimal(value) is not None
        case "flag":
            return isinstance(value, bool)
        case "text":
            return isinstance(value, str)
    return False


def _as_decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def value_of(facts: Mapping[str, Any], name: str) -> object | None:
    """The usable value of a fact, or None when it is undeclared, missing or wrongly typed."""
    fact = _catalogue.get(name)
    held = facts.get(name)
    if fact is None or not isinstance(held, Mapping):
        return None
    value = held.get("value")
    return value if value is not None and well_typed(fact, value) else None


def in_words(name: str, value: object, currency: str) -> str:
    """A fact's value as a person reads it."""
    fact = _catalogue.get(name)
    if value is None or fact is None:
        return "not known"
    match fact.type:
        case "money":
            return str(Money(int(str(value)), currency)) if currency else str(value)
        case "ratio":
            return f"{Decimal(str(value)) * 100:.0f} %"
        case "flag":
            return "yes" if value else "no"
        case "days":
            return f"{value} day{'' if value == 1 else 's'}"
    return str(value)
