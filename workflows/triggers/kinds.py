"""The kinds of triggers: what their settings may be, which fields their events bring, and how they are said."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opsdesk.lib.money import BadAmount, Money
from workflows import registry
from workflows.models import Trigger
from workflows.registry import Watched, WatchedField
from workflows.triggers import fields, filters, schedules

Config = Mapping[str, Any]
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*")
MOST_HOURS = 2_000
# Operators of a crossing with their look-ups and words, by type of the field.
CROSSINGS: dict[str, dict[str, tuple[str, str]]] = {
    "money": {"above": ("gt", "goes above"), "at_least": ("gte", "reaches"), "below": ("lt", "falls below")},
    "count": {"above": ("gt", "goes above"), "at_least": ("gte", "reaches"), "below": ("lt", "falls below")},
    "flag": {"is_true": ("exact", "comes to hold"), "is_false": ("exact", "ceases to hold")},
    "text": {"equals": ("exact", "becomes")},
}


@dataclass(frozen=True, slots=True)
class TriggerKind:
    """One kind of trigger, as three functions of its settings."""

    settings: tuple[str, ...]
    check: Callable[[Config], list[str]]
    words: Callable[[Config], str]
    # Names in the data of its events; None where only the sender knows them.
    brings: Callable[[Config], set[str] | None]


def _check_event(config: Config) -> list[str]:
    kind = config.get("type")
    sound = isinstance(kind, str) and len(kind) <= 60 and _EVENT_TYPE.fullmatch(kind)
    return ([] if sound else ["type is an event's type, such as refund.requested."]) + filters.check(
        config.get("when", [])
    )


def _say_event(config: Config) -> str:
    when = config.get("when") or []
    return f"the event {config.get('type')} arrives" + (f" and {filters.in_words(when)}" if when else "")


def _check_form(config: Config) -> list[str]:
    title, lead = config.get("title"), config.get("lead", "")
    problems = [] if isinstance(title, str) and 0 < len(title) <= 80 else ["title is a text of at most 80 characters."]
    if not isinstance(lead, str) or len(lead) > 300:
        problems.append("lead is a text of at most 300 characters.")
    return problems + fields.check(config.get("fields"))


def _check_schedule(config: Config) -> list[str]:
    problem = schedules.check(config.get("cron"))
    return [problem] if problem else []


def _record_of(config: Config) -> tuple[Watched | None, list[str]]:
    record = registry.watched.get(str(config.get("record")))
    if record is not None:
        return record, []
    return None, [f"record is one of {', '.join(sorted(registry.watched))}, not “{str(config.get('record'))[:30]}”."]


def _check_change(config: Config) -> list[str]:
    record, problems = _record_of(config)
    if record is None:
        return problems
    watched = record.fields.get(str(config.get("field")))
    if watched is None:
        return [f"field is one of {', '.join(record.fields) or 'none'} of {record.label}."]
    operator = config.get("operator")
    if operator not in CROSSINGS[watched.type]:
        return [f"operator is one of {', '.join(CROSSINGS[watched.type])} for {watched.label}."]
    try:
        limit_of(watched, config)
    except (BadAmount, ValueError):
        example = {"money": "100.00 GBP", "count": "3", "text": "a text"}.get(watched.type, "no value at all")
        return [f"“{str(config.get('value'))[:40]}” is no value for {watched.label}: write {example}."]
    return []


def limit_of(field: WatchedField, config: Config) -> tuple[Any, str]:
    """The limit that is crossed, as the column holds it, and its currency. Raises BadAmount or ValueError."""
    value = config.get("value")
    match field.type:
        case "money":
            amount = Money.parse(*str(value).split(" ", 1)) if " " in str(value) else None
            if amount is None:
                raise ValueError("An amount has a currency.")
            return amount.minor, amount.currency
        case "count":
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError("A count is a whole number.")
            return value, ""
        case "flag":
            if value is not None:
                raise ValueError("A flag takes no value.")
            return config["operator"] == "is_true", ""
    if not isinstance(value, str) or not value:
        raise ValueError("A text is needed.")
    return value, ""


def _say_change(config: Config) -> str:
    record = registry.watched.get(str(config.get("record")))
    field = record.fields.get(str(config.get("field"))) if record else None
    if record is None or field is None:
        return f"{config.get('field')} of {config.get('record')} changes"
    _, words = CROSSINGS[field.type].get(str(config.get("operator")), ("", "changes to"))
    return f"{field.label} of {record.label} {words} {config.get('value') or ''}".strip()


def _check_age(config: Config) -> list[str]:
    record, problems = _record_of(config)
    if record is None:
        return problems
    if str(config.get("standing")) not in record.standings:
        return [f"standing is one of {', '.join(record.standings) or 'none'} of {record.label}."]
    hours = config.get("business_hours")
    if isinstance(hours, bool) or not isinstance(hours, int) or not 1 <= hours <= MOST_HOURS:
        return [f"business_hours is a whole number from 1 to {MOST_HOURS}."]
    return []


def _say_age(config: Config) -> str:
    record = registry.watched.get(str(config.get("record")))
    standing = record.standings.get(str(config.get("standing"))) if record else None
    if record is None or standing is None:
        return f"{config.get('record')} stands too long"
    return f"{record.label} is {standing.label} for more than {config.get('business_hours')} business hours"


def _brings_record(config: Config) -> set[str]:
    record = registry.watched.get(str(config.get("record")))
    return {"reference", "record", *(record.tells if record else ())}


_MORE_OF_CHANGE = {"field", "value"}
_MORE_OF_AGE = {"standing", "since"}
KINDS: dict[str, TriggerKind] = {
    Trigger.Kind.EVENT: TriggerKind(("type", "when"), _check_event, _say_event, lambda config: None),
    Trigger.Kind.FORM: TriggerKind(
        ("title", "lead", "fields"),
        _check_form,
        lambda config: f"somebody sends the form “{config.get('title')}”",
        lambda config: {*fields.GIVEN, *(field["name"] for field in config["fields"])},
    ),
    Trigger.Kind.CHANGE: TriggerKind(
        ("record", "field", "operator", "value"),
        _check_change,
        _say_change,
        lambda config: _brings_record(config) | _MORE_OF_CHANGE,
    ),
    Trigger.Kind.SCHEDULE: TriggerKind(
        ("cron",),
        _check_schedule,
        lambda config: f"the clock shows {config.get('cron')}",
        lambda config: {"reference", "slot", "day"},
    ),
    Trigger.Kind.AGE: TriggerKind(
        ("record", "standing", "business_hours"),
        _check_age,
        _say_age,
        lambda config: _brings_record(config) | _MORE_OF_AGE,
    ),
    Trigger.Kind.WORKFLOW: TriggerKind(
        (), lambda config: [], lambda config: "another workflow starts it", lambda config: None
    ),
}
# What nobody pulls: the beat's tick looks at these.
CLOCKED = (Trigger.Kind.CHANGE, Trigger.Kind.SCHEDULE, Trigger.Kind.AGE)


def check(kind: str, config: object) -> list[str]:
    """Sentences about what is wrong with a trigger's settings; none means it can fire."""
    found = KINDS.get(kind)
    if found is None:
        return [f"there is no trigger kind “{kind[:20]}”; there is {', '.join(KINDS)}."]
    if not isinstance(config, Mapping):
        return ["the settings are names with values."]
    strange = [f"{kind} has no setting “{str(name)[:30]}”." for name in config if name not in found.settings]
    return strange or found.check(config)
