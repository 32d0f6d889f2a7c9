"""Rules: conditions over facts and what follows. Data that is compared, never text that is evaluated."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from opsdesk.lib.money import BadAmount, Money
from workflows import facts as catalogue
from workflows import patterns
from workflows.models import Rule
from workflows.registry import Demand
from workflows.states import Tier

MOST_CONDITIONS = 200
LONGEST_TEXT = 200  # characters of a text that a fact is compared with
MOST_TEXTS = 200  # in one list
_LARGEST = 10**15
# Plain digits: what is compared can also be written out, whatever it is.
_SHARE = re.compile(r"-?\d{1,9}(\.\d{1,9})?", re.ASCII)

# Operators by fact type, with the words between fact and value.
_NUMBERS = {"above": "is above", "at_least": "is at least", "below": "is below", "equals": "is"}
_ALWAYS = {"is_known": "is known", "is_missing": "is not known"}
OPERATORS: dict[str, dict[str, str]] = {
    "money": {**_NUMBERS, **_ALWAYS},
    "count": {**_NUMBERS, **_ALWAYS},
    "days": {**_NUMBERS, **_ALWAYS},
    "ratio": {**_NUMBERS, **_ALWAYS},
    "flag": {"is_true": "holds", "is_false": "does not hold", **_ALWAYS},
    "text": {"equals": "is", "one_of": "is one of", "matches": "matches the pattern", **_ALWAYS},
}
_NO_VALUE = {"is_true", "is_false", *_ALWAYS}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "above": lambda found, limit: found > limit,
    "at_least": lambda found, limit: found >= limit,
    "below": lambda found, limit: found < limit,
    "equals": lambda found, limit: found == limit,
    "one_of": lambda found, limit: found in limit,
    "matches": lambda found, pattern: patterns.is_found(pattern, found),
}


def _limit(fact: catalogue.FactType, operator: str, value: object, currency: str) -> object:
    """A condition's value as it is compared: money is written in major units with its currency (“50.00 GBP”).

    Raises BadAmount, ArithmeticError or ValueError when it cannot be compared with the fact.
    """
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise ValueError(f"A value for {fact.name} has at most {LONGEST_TEXT} characters.")
    if fact.type == "money":
        amount = Money.parse(*str(value).split(" ", 1)) if " " in str(value) else None
        if amount is None or (currency and amount.currency != currency):
            raise BadAmount(f"“{value}” cannot be compared: it must be an amount in {currency}.")
        return amount.minor
    if fact.type == "ratio":
        text = str(value) if type(value) is int and _bounded(value) else value
        if not isinstance(text, str) or not _SHARE.fullmatch(text):
            raise ValueError("A share is written in digits, such as 0.5.")
        return Decimal(text)
    values = value if operator == "one_of" and isinstance(value, list) else [value]
    if (operator == "one_of") != isinstance(value, list) or not all(catalogue.well_typed(fact, one) for one in values):
        raise ValueError(f"{value} is no value for {fact.name}.")
    if operator == "matches":
        patterns.read(str(value))
    if len(values) > MOST_TEXTS or not all(map(_bounded, values)):
        raise ValueError(f"A value for {fact.name} is longer or larger than anything it could be.")
    return value


def _bounded(value: object) -> bool:
    return len(value) <= LONGEST_TEXT if isinstance(value, str) else isinstance(value, int) and abs(value) < _LARGEST


def check(conditions: object) -> list[str]:
    """Sentences about what is wrong with a rule's conditions; none means it can be published."""
    if not isinstance(conditions, list) or not conditions:
        return ["A rule needs at least one condition."]
    if len(conditions) > MOST_CONDITIONS:
        return [f"A rule may have at most {MOST_CONDITIONS} conditions."]
    return [text for text in map(_problem, conditions) if text]


def _problem(condition: object) -> str:
    if not isinstance(condition, Mapping) or set(condition) - {"fact", "operator", "value"}:
        return "A condition is {fact, operator, value}."
    name, operator, value = (condition.get(part) for part in ("fact", "operator", "value"))
    fact = catalogue.catalogue().get(str(name))
    if fact is None:
        return f"There is no fact “{str(name)[:60]}”."
    if not isinstance(operator, str) or operator not in OPERATORS[fact.type]:
        return f"“{str(operator)[:30]}” does not fit {fact.name}, which is of type {fact.type}."
    if operator in _NO_VALUE:
        return "" if value in (None, "") else f"“{operator}” takes no value."
    try:
        _limit(fact, str(operator), value, "")
    except patterns.BadPattern as odd:
        return str(odd)
    except (BadAmount, ArithmeticError, ValueError):
        return f"“{str(value)[:40]}” is no value for {fact.name}."
    return ""


def takes(operator: str) -> bool:
    """Whether the operator compares with a value."""
    return operator not in _NO_VALUE


def _condition_words(condition: object) -> str:
    if not isinstance(condition, Mapping):
        return f"“{str(condition)[:60]}” (no condition)"
    fact = catalogue.catalogue().get(str(condition.get("fact", "")))
    if fact is None:
        return f"{str(condition.get('fact'))[:60]} (no such fact)"
    operator = str(condition.get("operator", ""))
    joined = f"{fact.label.lower()} {OPERATORS[fact.type].get(operator, operator)}"
    if operator in _NO_VALUE:
        return joined
    value = condition.get("value")
    if operator == "matches":
        value = f"“{value}”"
    if fact.type == "ratio" and _SHARE.fullmatch(str(value)):
        value = f"{(Decimal(str(value)) * 100).normalize():f} %"
    if fact.type == "days":
        value = f"{value} days"
    return f"{joined} {', '.join(map(str, value)) if isinstance(value, list) else value}"


def in_words(conditions: object, match: str = Rule.Match.ALL) -> str:
    """Conditions read back: “amount is above 50.00 GBP and order on file does not hold”.

    A draft may hold what is no condition at all; that is read back too, and `check` says what is wrong with it.
    """
    if not isinstance(conditions, list | tuple):
        conditions = [conditions]
    return (" and " if match == Rule.Match.ALL else " or ").join(map(_condition_words, conditions))


def words(rule: Rule) -> str:
    """The rule read back: “amount is above 50.00 GBP and order on file does not hold: at least full review”."""
    conditions = in_words(rule.conditions, rule.match)
    effect = f"at least {Tier(rule.tier).label}" if rule.effect == Rule.Effect.AT_LEAST else "pointed out"
    return f"{conditions}: {effect}"


def _holds(condition: Mapping[str, Any], facts: Mapping[str, Any]) -> bool | None:
    """Whether one condition holds; None when that cannot be known."""
    operator = str(condition.get("operator", ""))
    fact = catalogue.catalogue().get(str(condition.get("fact", "")))
    if fact is None or operator not in OPERATORS[fact.type]:
        return None
    found = catalogue.value_of(facts, fact.name)
    if operator == "is_missing":
        return found is None
    if operator == "is_known":
        return found is not None
    if found is None:
        return None
    if operator in ("is_true", "is_false"):
        return found is (operator == "is_true")
    try:
        currency = str(catalogue.value_of(facts, "currency") or "")
        if fact.type == "money" and not currency:
            return None
        limit = _limit(fact, operator, condition.get("value"), currency)
        return _COMPARE[operator](Decimal(str(found)) if fact.type == "ratio" else found, limit)
    except (BadAmount, ArithmeticError, ValueError):
        return None


def hold(conditions: Sequence[Mapping[str, Any]], match: str, facts: Mapping[str, Any]) -> bool | None:
    """Whether all (or any) of the conditions hold; None when that cannot be known. No condition at all is None."""
    return _together([_holds(condition, facts) for condition in conditions], match)


def unknown(conditions: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[str]:
    """Names of the facts without which these conditions cannot be known."""
    return [str(condition.get("fact")) for condition in conditions if _holds(condition, facts) is None]


def _together(results: Sequence[bool | None], match: str) -> bool | None:
    decisive = match == Rule.Match.ANY
    if decisive in results:
        return decisive
    return None if None in results or not results else not decisive


def evaluate(rule: Rule, facts: Mapping[str, Any]) -> Demand:
    """What a rule says about these facts. What cannot be known asks for a full review, never for less."""
    results = [_holds(condition, facts) for condition in rule.conditions]
    used = tuple(str(condition.get("fact")) for condition in rule.conditions)
    outcome = _together(results, rule.match)
    if outcome is False:
        return Demand(source=f"rule {rule.position}", result="miss", words=rule.name, facts=used)
    if outcome is None:
        # A rule about a milder tier cannot ask for less than people when its facts are not known.
        unknown = [name for name, held in zip(used, results, strict=True) if held is None]
        text = f"{rule.name}: cannot be known without {', '.join(unknown)}"
        return Demand(f"rule {rule.position}", "undetermined", text, Tier.FULL_REVIEW, used)
    tier = Tier(rule.tier) if rule.effect == Rule.Effect.AT_LEAST else None
    return Demand(f"rule {rule.position}", "hit", rule.name, tier, used)
