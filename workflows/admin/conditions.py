"""Conditions over facts as rows of drop-downs: fact, operator, value, and the currency where the value is money.

The rows work as a plain form: every operator is offered, and the server refuses what does not fit. Where scripts run,
static/js/conditions.js offers only operators that fit the fact, and hides what the operator does not take.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypedDict

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from workflows import facts, rules

# Empty rows below those that are filled, for people without scripts.
SPARE = 2
# How a value of each type is written, beside the field.
WRITTEN: Mapping[str, str] = {
    "money": "An amount such as 50.00, with its currency.",
    "count": "A whole number, such as 4.",
    "days": "Whole days, such as 90.",
    "ratio": "A share: 0.5 or 50 % is a half.",
    "flag": "Takes no value.",
    "text": "A text such as returned; for “is one of”, one on each line; for “matches the pattern”, a regular "
    "expression (RE2) that is found anywhere in the text: ^ and $ stand for its ends, (?i) for either case.",
}
_WHOLE = re.compile(r"-?\d{1,15}")
_PERCENT = re.compile(r"(-?\d{1,9}(?:\.\d{1,7})?)\s*%")


class Row(TypedDict):
    """One condition as it is typed."""

    fact: str
    operator: str
    value: str
    currency: str


_PARTS = ("fact", "operator", "value", "currency")


class ConditionsWidget(forms.Widget):
    """Rows of conditions; the hidden number of rows says how many were sent."""

    template_name = "admin/conditions.html"

    class Media:
        # After the page is read: the admin puts its scripts into the head.
        js = [forms.Script("js/conditions.js", defer=True)]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Rows with their choices; `value` is stored conditions or the rows as they were typed."""
        context = super().get_context(name, value, attrs)
        given = value if isinstance(value, list) else []
        blank = Row(fact="", operator="", value="", currency="")
        rows = [*(_as_typed(entry) for entry in given), *([blank] * SPARE)]
        strange = [row["fact"] if row["fact"] not in facts.catalogue() else "" for row in rows]
        context["widget"] |= {"rows": list(zip(rows, strange, strict=True)), "written": WRITTEN}
        context["widget"] |= {"groups": _by_source(), "operators": _operators()}
        return context

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """By the desk's own templates; the renderer of forms knows only Django's."""
        return render_to_string(self.template_name, self.get_context(name, value, attrs))

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[Row] | None:
        """The rows in which anything was chosen or typed; None when the form has no such field."""
        sent = data.get(f"{name}-rows")
        if sent is None:
            return None
        count = int(sent) if str(sent).isascii() and str(sent).isdigit() and len(str(sent)) < 4 else 0
        rows = [_row(data, name, index) for index in range(min(count, rules.MOST_CONDITIONS + SPARE + 1))]
        return [row for row in rows if row["fact"] or row["operator"] or row["value"].strip()]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}-rows" not in data

    def id_for_label(self, id_: str) -> str:
        """The label belongs to all rows, each of which says itself what it is."""
        return ""


def _row(data: Any, name: str, index: int) -> Row:
    fact, operator, value, currency = (str(data.get(f"{name}-{index}-{part}") or "") for part in _PARTS)
    return Row(fact=fact, operator=operator, value=value, currency=currency)


def _as_typed(entry: Any) -> Row:
    """A stored condition as a person would type it; a row that was typed stays as it is."""
    if not isinstance(entry, Mapping):
        return Row(fact="", operator="", value=str(entry)[:200], currency="")
    fact, operator, value = (entry.get(part, "") for part in ("fact", "operator", "value"))
    currency = str(entry.get("currency", ""))
    held = facts.catalogue().get(str(fact))
    if "currency" not in entry and held is not None and held.type == "money" and isinstance(value, str):
        value, _, currency = value.partition(" ")
    if isinstance(value, list):
        value = "\n".join(map(str, value))
    return Row(fact=str(fact), operator=str(operator), value="" if value is None else str(value), currency=currency)


def _by_source() -> list[tuple[str, list[facts.FactType]]]:
    """The catalogue by where its facts come from."""
    found: dict[str, list[facts.FactType]] = {}
    for fact in facts.catalogue().values():
        found.setdefault(fact.source, []).append(fact)
    return list(found.items())


def _operators() -> list[tuple[str, str, str, bool]]:
    """Every operator: its name, its words, the types it fits, and whether it takes a value; those that fit all last."""
    words: dict[str, str] = {name: text for each in rules.OPERATORS.values() for name, text in each.items()}
    by_reach = sorted(words.items(), key=lambda pair: all(pair[0] in each for each in rules.OPERATORS.values()))
    return [
        (name, text, " ".join(kind for kind, fitting in rules.OPERATORS.items() if name in fitting), rules.takes(name))
        for name, text in by_reach
    ]


class ConditionsField(forms.Field):
    """Conditions as they are stored, read from rows; what could not be compared is refused with its row."""

    widget = ConditionsWidget

    def clean(self, value: Any) -> Any:
        """The conditions as data. Raises ValidationError with a sentence for every row that makes no sense."""
        conditions, problems = [], []
        for number, row in enumerate(value or [], start=1):
            try:
                conditions.append(_as_data(row))
            except ValueError as refusal:
                problems.append(f"Condition {number}: {refusal}")
        if not conditions and not problems and not self.required:
            return []
        problems = problems or rules.check(conditions)
        if problems:
            raise ValidationError(problems)
        return conditions

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the rows say anything else than what is stored."""
        try:
            return [_as_data(row) for row in data or []] != (initial or [])
        except ValueError:
            return True


def _as_data(row: Row) -> dict[str, Any]:
    """One typed row as a condition; raises ValueError with a sentence."""
    fact = facts.catalogue().get(row["fact"])
    if fact is None:
        raise ValueError(f"there is no fact “{row['fact'][:60]}”." if row["fact"] else "choose a fact.")
    if row["operator"] not in rules.OPERATORS[fact.type]:
        raise ValueError(f"choose an operator that fits {fact.name}: {', '.join(rules.OPERATORS[fact.type].values())}.")
    condition = {"fact": fact.name, "operator": row["operator"]}
    typed = row["value"].strip()
    if rules.takes(row["operator"]):
        return {**condition, "value": _value(fact, row, typed)}
    if typed:
        raise ValueError(f"“{rules.OPERATORS[fact.type][row['operator']]}” takes no value.")
    return condition


def _value(fact: facts.FactType, row: Row, typed: str) -> Any:
    """What was typed, in the type of the fact; whether it can be compared is for `rules.check` to say."""
    if not typed:
        raise ValueError(f"{fact.name} is compared with nothing. {WRITTEN[fact.type]}")
    if fact.type == "money":
        return f"{typed} {row['currency'].strip().upper()}".strip()
    if fact.type in ("count", "days"):
        if not _WHOLE.fullmatch(typed, endpos=40) or not typed.isascii():
            raise ValueError(f"“{typed[:40]}” is no value for {fact.name}. {WRITTEN[fact.type]}")
        return int(typed)
    percent = _PERCENT.fullmatch(typed) if fact.type == "ratio" and typed.isascii() else None
    if percent is not None:
        return f"{(Decimal(percent[1]) / 100).normalize():f}"
    if row["operator"] == "one_of":
        return [line.strip() for line in typed.splitlines() if line.strip()]
    return typed
