"""What differs between two editions of a definition, in sentences that a person who reads no YAML understands."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Protocol

from workflows import rules
from workflows.models import Rule, RuleSet, WorkflowVersion
from workflows.states import Tier

_LONGEST = 120  # characters of a value


class _Keyed(Protocol):
    """What steps and triggers have in common."""

    key: Any
    kind: Any
    config: Any


def versions(before: WorkflowVersion, after: WorkflowVersion) -> list[str]:
    """How `after` differs from `before`: what is worked on, its events and fields, its triggers, its steps."""
    told = [
        *_changed("the kind of case", before.case_kind, after.case_kind),
        *_changed("the event that opens a case", before.opened_by, after.opened_by),
        *_changed("the event that withdraws a case", before.withdrawn_by, after.withdrawn_by),
        *_mapping("the case's {}", before.fields, after.fields),
        *_changed("the priority", before.priority, after.priority),
        *_changed("the fields by which one run goes on at a time", before.concurrency, after.concurrency),
        *_changed("the seconds in which openings are one", before.debounce_seconds, after.debounce_seconds),
    ]
    began, begins = (list(version.triggers.order_by("position")) for version in (before, after))
    told += _rows("trigger", began, begins)
    old, new = (list(version.steps.order_by("position")) for version in (before, after))
    told += _rows("step", old, new)
    held = {step.key: step for step in old}
    for step in new:
        former = held.get(step.key)
        if former is not None and (former.when, former.match) != (step.when, step.match):
            told.append(f"step “{step.key}” is now done {_only(step)}, before {_only(former)}")
    return [_sentence(text) for text in told]


def rule_sets(before: RuleSet, after: RuleSet) -> list[str]:
    """How the rules of `after` differ from those of `before`; their order, which decides nothing, is left aside."""
    old = {rule.name: rule for rule in before.rules.order_by("position")}
    new = {rule.name: rule for rule in after.rules.order_by("position")}
    gone = {name: rule for name, rule in old.items() if name not in new}
    told = []
    for name, rule in new.items():
        former = old.get(name)
        if former is None:
            twin = next((each for each in gone.values() if _content(each) == _content(rule)), None)
            if twin is not None:
                del gone[twin.name]
                told.append(f"rule “{twin.name}” is now called “{name}”")
            else:
                told.append(f"rule “{name}” is new: {rules.words(rule)}")
        else:
            told += _rule(former, rule)
    told += [f"rule “{name}” was taken out: {rules.words(rule)}" for name, rule in gone.items()]
    return [_sentence(text) for text in told]


def _content(rule: Rule) -> tuple[Any, ...]:
    return (rule.match, rule.conditions, rule.effect, rule.tier)


def _rule(before: Rule, after: Rule) -> list[str]:
    told = []
    if (before.match, before.conditions) != (after.match, after.conditions):
        now, was = (rules.in_words(rule.conditions, rule.match) for rule in (after, before))
        told.append(f"rule “{after.name}” now holds when {now}, before when {was}")
    if _asks(before) != _asks(after):
        told.append(f"rule “{after.name}” now {_asks(after)}, before it {_asks(before)}")
    return told


def _asks(rule: Rule) -> str:
    return f"asks for {Tier(rule.tier).label}" if rule.effect == Rule.Effect.AT_LEAST else "only points out"


def _rows(noun: str, old: Sequence[_Keyed], new: Sequence[_Keyed]) -> list[str]:
    """Rows that came, went, changed place, kind or settings; they are the same where their key is."""
    before, after = {row.key: row for row in old}, {row.key: row for row in new}
    told = [f"{noun} “{key}” was taken out" for key in before if key not in after]
    moved = _moved([key for key in before if key in after], [key for key in after if key in before])
    for place, (key, row) in enumerate(after.items()):
        where = f"after “{new[place - 1].key}”" if place else "at the beginning"
        if key not in before:
            told.append(f"{noun} “{key}” ({row.kind}) was added {where}")
            continue
        if key in moved:
            told.append(f"{noun} “{key}” now comes {where}")
        told += _changed(f"the kind of {noun} “{key}”", before[key].kind, row.kind)
        told += _mapping(f"{noun} “{key}”: its {{}}", before[key].config, row.config)
    return told


def _moved(old: list[str], new: list[str]) -> set[str]:
    """Which keys stand elsewhere among those that both have; as few as explain the new order."""
    kept: set[str] = set()
    for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        kept |= set(new[block.b : block.b + block.size])
    return set(new) - kept


def _mapping(words: str, old: Any, new: Any) -> list[str]:
    """Names with values: what changed under each name."""
    before, after = (held if isinstance(held, Mapping) else {} for held in (old, new))
    names = [*before, *(name for name in after if name not in before)]
    return [text for name in names for text in _changed(words.format(name), before.get(name), after.get(name))]


def _changed(what: str, old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if old in (None, "", [], {}):
        return [f"{what} is now {_value(new)}, before it was not set"]
    if new in (None, "", [], {}):
        return [f"{what} is no longer set, before it was {_value(old)}"]
    return [f"{what} changed from {_value(old)} to {_value(new)}"]


def _value(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _only(step: Any) -> str:
    return f"only when {rules.in_words(step.when, step.match)}" if step.when else "always"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
