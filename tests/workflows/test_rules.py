"""Rules: conditions over facts. What cannot be known asks for people, never for less."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations import facts as _declared  # noqa: F401 - declares the catalogue
from workflows.facts import catalogue
from workflows.models import Rule
from workflows.rules import MOST_CONDITIONS, OPERATORS, check, evaluate, words
from workflows.states import Tier

FACTS = {
    "amount": 6000,
    "currency": "GBP",
    "order.share": "0.1200",
    "order.days_since": 10,
    "customer.refunds_30d": 2,
    "order.on_file": True,
    "request.reason": "returned",
}


def facts(**changes: object) -> dict:
    values = {**FACTS, **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: {"value": value, "source": "desk", "at": ""} for name, value in values.items()}


def condition(fact: str, operator: str, value: object = None) -> dict:
    return {"fact": fact, "operator": operator, **({} if value is None else {"value": value})}


def rule(*conditions: dict, match: str = "all", tier: Tier = Tier.FAST_TRACK, effect: str = "at_least") -> Rule:
    return Rule(position=1, name="The rule", match=match, conditions=list(conditions), effect=effect, tier=tier)


def result(one: dict, **changes: object) -> str:
    return evaluate(rule(one), facts(**changes)).result


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (condition("amount", "above", "59.99 GBP"), "hit"),
        (condition("amount", "above", "60.00 GBP"), "miss"),
        (condition("amount", "at_least", "60.00 GBP"), "hit"),
        (condition("amount", "below", "60.01 GBP"), "hit"),
        (condition("amount", "equals", "60.00 GBP"), "hit"),
        (condition("order.share", "at_least", "0.12"), "hit"),
        (condition("order.share", "above", "0.1"), "hit"),
        (condition("order.share", "below", "0.1"), "miss"),
        (condition("order.share", "equals", "0.120"), "hit"),
        (condition("order.days_since", "above", 9), "hit"),
        (condition("customer.refunds_30d", "at_least", 3), "miss"),
        (condition("order.on_file", "is_true"), "hit"),
        (condition("order.on_file", "is_false"), "miss"),
        (condition("request.reason", "equals", "returned"), "hit"),
        (condition("request.reason", "one_of", ["damaged", "returned"]), "hit"),
        (condition("request.reason", "one_of", ["damaged"]), "miss"),
        (condition("amount", "is_known"), "hit"),
        (condition("customer.known", "is_missing"), "hit"),
        (condition("customer.known", "is_known"), "miss"),
    ],
    ids=str,
)
def test_a_condition_holds_or_does_not(one: dict, expected: str):
    assert result(one) == expected


@pytest.mark.parametrize(
    "one",
    [
        condition("customer.known", "is_true"),
        condition("weather", "is_true"),
        condition("amount", "is_true"),
        condition("amount", "above", "60.00 EUR"),
        condition("amount", "above", "60.00"),
        condition("amount", "above", 60),
        condition("amount", "above", "much GBP"),
        condition("amount", "above"),
        condition("order.share", "above", "half"),
        condition("order.share", "above", "NaN"),
        condition("order.share", "above", "Infinity"),
        condition("order.share", "equals", "sNaN"),
        condition("order.days_since", "above", "9"),
        condition("order.days_since", "equals", "ten"),
        condition("order.days_since", "above", True),
        condition("request.reason", "one_of", "returned or damaged"),
        condition("request.reason", "equals", 7),
        {},
    ],
    ids=str,
)
def test_what_cannot_be_compared_goes_to_people(one: dict):
    demand = evaluate(rule(one, tier=Tier.FAST_TRACK), facts())

    assert (demand.result, demand.tier) == ("undetermined", Tier.FULL_REVIEW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", None),
        ("amount", "6000"),
        ("amount", 60.0),
        ("amount", True),
        ("order__share", 0.12),
        ("order__share", "NaN"),
        ("order__share", "lots"),
        ("order__on_file", 1),
        ("order__on_file", "true"),
        ("request__reason", 7),
    ],
)
def test_a_fact_of_the_wrong_type_is_none(name: str, value: object):
    fact = name.replace("__", ".")
    operator, limit = {"amount": ("above", "1.00 GBP"), "order.share": ("above", "0")}.get(fact, ("is_known", None))
    demand = evaluate(rule(condition(fact, operator, limit)), facts(**{name: value}))

    assert demand.result == ("miss" if operator == "is_known" else "undetermined")


def test_money_of_no_known_currency_is_not_compared():
    assert result(condition("amount", "above", "1.00 GBP"), currency=None) == "undetermined"
    assert result(condition("amount", "above", "1.00 GBP"), currency="EUR") == "undetermined"


def test_a_mangled_fact_is_none():
    broken = {**facts(), "amount": 6000, "order.share": None}

    assert evaluate(rule(condition("amount", "above", "1.00 GBP")), broken).result == "undetermined"
    assert evaluate(rule(condition("order.share", "above", "0")), broken).result == "undetermined"


HIT = condition("amount", "above", "1.00 GBP")
MISS = condition("amount", "above", "999.00 GBP")
UNKNOWN = condition("customer.known", "is_true")


@pytest.mark.parametrize(
    ("match", "conditions", "expected"),
    [
        ("all", [HIT, HIT], "hit"),
        ("all", [HIT, MISS], "miss"),
        ("all", [HIT, UNKNOWN], "undetermined"),
        # One that certainly does not hold decides, whatever the other would say.
        ("all", [UNKNOWN, MISS], "miss"),
        ("any", [MISS, MISS], "miss"),
        ("any", [MISS, HIT], "hit"),
        ("any", [MISS, UNKNOWN], "undetermined"),
        ("any", [UNKNOWN, HIT], "hit"),
        ("all", [], "undetermined"),
        ("any", [], "undetermined"),
    ],
)
def test_conditions_are_put_together(match: str, conditions: list, expected: str):
    demand = evaluate(rule(*conditions, match=match), facts())

    assert demand.result == expected
    assert demand.tier == {"hit": Tier.FAST_TRACK, "miss": None, "undetermined": Tier.FULL_REVIEW}[expected]


def test_a_rule_that_points_out_asks_for_nothing():
    assert evaluate(rule(HIT, effect="flag"), facts()).tier is None


def test_what_is_not_known_is_named():
    demand = evaluate(rule(HIT, UNKNOWN), facts())

    assert demand.words == "The rule: cannot be known without customer.known"


def test_the_strictest_tier_wins_and_nothing_asks_for_most():
    assert Tier.strictest([Tier.INSTANT, Tier.FULL_REVIEW, Tier.FAST_TRACK]) == Tier.FULL_REVIEW
    assert Tier.strictest([Tier.INSTANT, Tier.FAST_TRACK]) == Tier.FAST_TRACK
    assert Tier.strictest([Tier.INSTANT]) == Tier.INSTANT
    assert Tier.strictest([]) == Tier.FULL_REVIEW


# --- checked before it is published ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        "amount > 5",
        None,
        ["amount > 5"],
        [{**HIT, "extra": 1}],
        [condition("weather", "is_true")],
        [condition("amount", "matches", "60.00 GBP")],
        [condition("amount", "above", "60.00")],
        [condition("amount", "above", "60.001 GBP")],
        [condition("amount", "above", "60.00 XXX")],
        [condition("order.share", "above", "half")],
        [condition("order.share", "above", "NaN")],
        [condition("order.share", "above", "Infinity")],
        [condition("order.share", "above", True)],
        [condition("order.days_since", "above", "9")],
        [condition("order.days_since", "above", 1.5)],
        [condition("order.on_file", "is_true", True)],
        [condition("request.reason", "one_of", "returned")],
        [condition("request.reason", "one_of", [1])],
        [condition("request.reason", "equals", 7)],
        [HIT] * (MOST_CONDITIONS + 1),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_rule_that_could_not_be_asked_cannot_be_published(conditions: object):
    assert check(conditions)


def test_every_operator_of_every_type_has_words_and_can_be_published():
    values = {
        "money": "5.00 GBP", "count": 1, "days": 1, "ratio": "0.5", "text": "returned", "flag": None,
    }  # fmt: skip
    for fact in catalogue().values():
        for operator in OPERATORS[fact.type]:
            value = None if operator.startswith("is_") else ["a"] if operator == "one_of" else values[fact.type]
            assert check([condition(fact.name, operator, value)]) == []
            said = words(rule(condition(fact.name, operator, value)))
            assert said.startswith(f"{fact.label.lower()} {OPERATORS[fact.type][operator]}")
            assert "_" not in said


def test_a_rule_reads_itself_back():
    text = words(rule(condition("amount", "above", "50.00 GBP"), condition("order.share", "at_least", "0.5")))

    assert text == "amount is above 50.00 GBP and share of the order is at least 50 %: at least fast-track"


# --- generated -------------------------------------------------------------------------------------------------------

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.lists(st.text(max_size=3), max_size=2), st.sampled_from(["5.00 GBP", "0.5", "NaN", "1e999", "-1", "returned"]),
)  # fmt: skip
CONDITIONS = st.fixed_dictionaries(
    {
        "fact": st.sampled_from([*catalogue(), "weather"]),
        "operator": st.sampled_from(sorted({name for names in OPERATORS.values() for name in names} | {"matches"})),
        "value": ANYTHING,
    }
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(CONDITIONS, max_size=4),
    st.dictionaries(st.sampled_from(list(catalogue())), ANYTHING),
    st.sampled_from(["all", "any"]),
)
def test_no_rule_and_no_facts_raise_and_what_was_published_never_errs_towards_less(conditions, values, match):
    held = {name: {"value": value, "source": "desk", "at": ""} for name, value in values.items()}

    demand = evaluate(rule(*conditions, match=match, tier=Tier.INSTANT), held)

    assert demand.result in {"hit", "miss", "undetermined"}
    if demand.result == "undetermined":
        assert demand.tier == Tier.FULL_REVIEW
    check(conditions)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_money_is_compared_to_the_penny(found: int, limit: int):
    text = f"{Decimal(limit).scaleb(-2):.2f} GBP"
    above = evaluate(rule(condition("amount", "above", text)), facts(amount=found)).result

    assert above == ("hit" if found > limit else "miss")
