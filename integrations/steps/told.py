"""What an operation is told: each field from the case, from a fact, or written down in the step.

In a step's settings `fields` is {field: source}; a source is “case.<name>”, “fact.<name>” or {"value": …}.
"""

from collections.abc import Mapping
from typing import Any

from integrations.operations import Field, Operation
from workflows.engine.context import RunContext
from workflows.errors import StepFailed
from workflows.facts import catalogue, value_of
from workflows.models import Case
from workflows.states import FailureKind

LONGEST_TEXT = 2_000
# What of a case may be told, and of which type it is.
CASE_FIELDS = {
    "number": "text",
    "key": "text",
    "kind": "text",
    "amount": "money",
    "currency": "text",
    "target": "text",
    "party": "text",
    "reason": "text",
}
_PYTHON: dict[str, type] = {"text": str, "money": dict, "count": int, "days": int, "ratio": str, "flag": bool}


def check_fields(given: object) -> list[str]:
    """What is wrong with the sources of a step, whatever its operation is; in sentences."""
    if not isinstance(given, Mapping):
        return ["act's fields are names with sources: {field: source}."]
    return [text for name, source in given.items() for text in _check_source(str(name), source)]


def _check_source(name: str, source: object) -> list[str]:
    if isinstance(source, Mapping):
        fits = set(source) == {"value"} and isinstance(source["value"], str | int | bool)
        return [] if fits else [f"“{name}” is a source, or {{value: …}} with a text, a number or true and false."]
    return [] if _type_of(source) else [f"“{name}” comes from {source!r}, which is no field of a case and no fact."]


def check_told(operation: Operation, given: Mapping[str, Any]) -> list[str]:
    """What of an operation's fields a step does not tell, or tells wrongly; in sentences."""
    fields = {field.name: field for field in operation.fields if not field.granted}
    problems = [f"{operation.name} has no field “{name}” that a step can set." for name in given if name not in fields]
    problems += [
        f"{operation.name} needs “{name}”: {field.label}."
        for name, field in fields.items()
        if field.required and name not in given
    ]
    for name, source in given.items():
        if name in fields and not _fits(fields[name], source):
            problems.append(f"“{name}” of {operation.name} is {fields[name].type}; its source is something else.")
    return problems


def _fits(field: Field, source: object) -> bool:
    if isinstance(source, Mapping):
        value = source.get("value")
        wanted = _PYTHON[field.type]
        return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    return _type_of(source) == field.type


def _type_of(source: object) -> str:
    """The type of what a source gives; "" for no such source."""
    whole, _, name = str(source).partition(".")
    if whole == "case":
        return CASE_FIELDS.get(name, "")
    found = catalogue().get(name) if whole == "fact" else None
    return found.type if found else ""


def values(context: RunContext, operation: Operation) -> dict[str, Any]:
    """What the other side is told now. Raises StepFailed (data) where a required field is not known."""
    given = context.step.config.get("fields", {})
    told: dict[str, Any] = {}
    for field in operation.fields:
        if field.granted or field.name not in given:
            continue
        value = _value(context, given[field.name])
        if value is not None:
            told[field.name] = value
        elif field.required:
            raise StepFailed(FailureKind.DATA, f"{field.label} is not known, and {operation.name} needs it.")
    return told


def _value(context: RunContext, source: object) -> Any:
    if isinstance(source, Mapping):
        return source["value"]
    whole, _, name = str(source).partition(".")
    if whole == "case":
        return _of_case(context.case, name)
    value = value_of(context.facts, name)
    found = catalogue().get(name)
    return _money(value, context.case) if found is not None and found.type == "money" else _short(value)


def _of_case(case: Case, name: str) -> Any:
    if name == "number":
        return str(case)
    return _money(case.amount_minor, case) if name == "amount" else _short(getattr(case, name)) or None


def _money(minor: object, case: Case) -> dict[str, Any] | None:
    return {"minor": minor, "currency": case.currency} if isinstance(minor, int) and case.currency else None


def _short(value: object) -> object:
    return value[:LONGEST_TEXT] if isinstance(value, str) else value
