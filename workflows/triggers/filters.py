"""Filters of event triggers: conditions over the fields an event brings. Data that is compared, never evaluated.

A condition is {field, type, operator, value}; the type says as what the field is read. A number may come as a JSON
number or as text (“141.48”). What cannot be read is neither a yes nor a no.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

# A number beyond that is none that anybody means; written out, 1e999999999 would take all the memory there is.
_LARGEST_EXPONENT = 40
MOST = 50
OPERATORS: dict[str, dict[str, str]] = {
    "number": {"above": "is above", "at_least": "is at least", "below": "is below", "equals": "is"},
    "text": {"equals": "is", "one_of": "is one of"},
    "flag": {"is_true": "holds", "is_false": "does not hold"},
}
_NO_VALUE = {"is_true", "is_false"}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "above": lambda found, limit: found > limit,
    "at_least": lambda found, limit: found >= limit,
    "below": lambda found, limit: found < limit,
    "equals": lambda found, limit: found == limit,
    "one_of": lambda found, limit: found in limit,
}


def check(conditions: object) -> list[str]:
    """Sentences about what is wrong with a filter; none means it can be asked."""
    if not isinstance(conditions, list):
        return ["when is a list of conditions {field, type, operator, value}."]
    if len(conditions) > MOST:
        return [f"when has at most {MOST} conditions."]
    return [text for text in map(_problem, conditions) if text]


def _problem(condition: object) -> str:
    if not isinstance(condition, Mapping) or set(condition) - {"field", "type", "operator", "value"}:
        return "A condition is {field, type, operator, value}."
    name, kind, operator = (condition.get(part) for part in ("field", "type", "operator"))
    if not isinstance(name, str) or not name.strip():
        return "A condition names a field of the event."
    if kind not in OPERATORS:
        return f"A condition reads its field as one of {', '.join(OPERATORS)}, not as “{str(kind)[:20]}”."
    if operator not in OPERATORS[kind]:
        return f"“{str(operator)[:20]}” does not fit a {kind}: there is {', '.join(OPERATORS[kind])}."
    value = condition.get("value")
    if operator in _NO_VALUE:
        return "" if value in (None, "") else f"“{operator}” takes no value."
    values = value if operator == "one_of" else [value]
    if not isinstance(values, list) or not values or any(_read(kind, one) is None for one in values):
        return f"“{str(value)[:40]}” is no value for “{operator}” of {name}."
    return ""


def _read(kind: str, value: object) -> Decimal | str | bool | None:
    """A field's value as the type reads it, or None."""
    match kind:
        case "number":
            if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > 40:
                return None
            try:
                number = Decimal(value)
            except InvalidOperation:
                return None
            return number if number.is_finite() and abs(number.adjusted()) <= _LARGEST_EXPONENT else None
        case "text":
            return value if isinstance(value, str) else None
        case "flag":
            return value if isinstance(value, bool) else None
    return None


def hold(conditions: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> bool | None:
    """Whether all conditions hold for an event's data; None when one cannot be told and none fails."""
    results = [_holds(condition, data) for condition in conditions]
    if False in results:
        return False
    return None if None in results else True


def _holds(condition: Mapping[str, Any], data: Mapping[str, Any]) -> bool | None:
    kind, operator = condition["type"], condition["operator"]
    found = _read(kind, data.get(condition["field"]))
    if found is None:
        return None
    if operator in _NO_VALUE:
        return found is (operator == "is_true")
    value = condition.get("value")
    limit = [_read(kind, one) for one in value] if isinstance(value, list) else _read(kind, value)
    return _COMPARE[operator](found, limit)


def in_words(conditions: Sequence[Mapping[str, Any]]) -> str:
    """A filter read back: “amount is above 100 and channel is phone”."""
    return " and ".join(map(_words, conditions))


def _words(condition: Mapping[str, Any]) -> str:
    value = condition.get("value")
    said = ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
    operator = OPERATORS.get(condition.get("type", ""), {}).get(condition.get("operator", ""), "?")
    return f"{condition.get('field')} {operator} {said}".strip()
