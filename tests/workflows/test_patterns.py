"""Patterns in rules: RE2 reads them, at the save what is none is refused, and none of them costs much."""

import time

import pytest

from workflows import patterns, rules
from workflows.facts import catalogue
from workflows.models import Rule

# One character short of what it wants: a backtracking engine looks for years.
KILLERS = [
    r"(a+)+$", r"^(a|a)*$", r"(a|aa)+$", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(.*a){20}$", r"(x+x+)+y", r"(\w+\s?)*$",
    r"^(?:a?){33}a{33}$", r"([a-zA-Z]+)*!$", r"(a*)*(b*)*c",
]  # fmt: skip
ODD = {
    "(": "missing )", "[": "missing ]", r"(?=a)": "invalid perl operator", r"\1": "invalid escape sequence",
    "a{1001}": "invalid repetition size", "(?:a{1000}){1000}": "invalid repetition size", "*": "no argument for",
    "\ud800": "characters that are none", "a" * 201: "at most 200 characters", " ": "is empty",
}  # fmt: skip


@pytest.fixture
def fact() -> str:
    """A fact that is text."""
    return next(name for name, each in catalogue().items() if each.type == "text")


def condition(fact: str, pattern: object) -> dict[str, object]:
    return {"fact": fact, "operator": "matches", "value": pattern}


def told(fact: str, text: object) -> dict[str, object]:
    return {fact: {"value": text, "source": "test", "at": "2026-03-01T00:00:00+00:00"}}


@pytest.mark.parametrize(
    ("pattern", "text", "held"),
    [
        ("damag", "It was damaged.", True),
        ("^damag", "It was damaged.", False),
        ("(?i)^it .* (damaged|broken)[.]$", "It was damaged.", True),
        (r"^[A-Z]{2}-\d+$", "AB-42", True),
        ("ß|€", "zu groß", True),
        ("a.c", "a\nc", False),
    ],
)
def test_a_rule_asks_whether_a_text_matches(fact, pattern, text, held):
    assert rules.check([condition(fact, pattern)]) == []
    assert rules.hold([condition(fact, pattern)], "all", told(fact, text)) is held


def test_it_is_read_back_in_words(fact):
    said = rules.in_words([condition(fact, "^re(turn|fund)")])

    assert said == f"{catalogue()[fact].label.lower()} matches the pattern “^re(turn|fund)”"


@pytest.mark.parametrize("pattern", ODD)
def test_what_is_no_pattern_is_refused_when_saved(fact, pattern):
    [problem] = rules.check([condition(fact, pattern)])

    assert ODD[pattern] in problem or "is no value for" in problem
    assert rules.hold([condition(fact, pattern)], "all", told(fact, "aaa")) is None


@pytest.mark.parametrize("strange", [None, 5, ["a"], {"a": 1}, True])
def test_a_pattern_is_a_text(fact, strange):
    assert len(rules.check([condition(fact, strange)])) == 1


@pytest.mark.parametrize("pattern", KILLERS)
def test_no_pattern_costs_much(fact, pattern):
    """A safety net only: what backtracks would not end in this century."""
    begun = time.monotonic()

    for text in ("a" * 33 + "!", "x" * 33, "a" * patterns.LONGEST_LOOKED_AT):
        assert rules.hold([condition(fact, pattern)], "all", told(fact, text)) in (True, False)

    assert time.monotonic() - begun < 10


def test_what_cannot_be_looked_through_goes_to_people(fact):
    """A text too long, one with characters that are none, a missing one: not known is never “no”."""
    rule = Rule(position=1, name="Odd", conditions=[condition(fact, "(a+)+$")], tier="full_review")

    for text in ("a" * 1_000_000, "\ud800", None, 7):
        demand = rules.evaluate(rule, told(fact, text))
        assert (demand.result, demand.tier) == ("undetermined", "full_review")
