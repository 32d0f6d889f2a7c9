"""Money: exact in whole minor units, refused when in doubt, and never a float."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsdesk.lib.money import EXPONENTS, LARGEST, BadAmount, Money
from tests.plugins.line import Line
from workflows.models import Case
from workflows.states import CaseState

ACCEPTED = [
    ("141.48", "GBP", 14_148),
    ("0.01", "EUR", 1),
    ("1.5", "USD", 150),
    ("7", "GBP", 700),
    ("007.00", "GBP", 700),
    ("-2.50", "GBP", -250),
    ("1000", "JPY", 1_000),
    ("1.234", "KWD", 1_234),
    ("1.2345", "CLF", 12_345),
    ("10000000000000.00", "GBP", LARGEST),
    ("1000000000000000", "JPY", LARGEST),
]
REFUSED = [
    ("0.001", "GBP"),
    ("1.230000001", "GBP"),
    ("1.5", "JPY"),
    ("1.2345", "KWD"),
    ("1.23456", "CLF"),
    ("10000000000000.01", "GBP"),
    ("1000000000000000001", "JPY"),
    ("1e18", "GBP"),
    ("1E2", "GBP"),
    ("999999999999999999999999", "GBP"),
    ("9" * 5_000, "GBP"),
    ("NaN", "GBP"),
    ("sNaN", "GBP"),
    ("Infinity", "GBP"),
    ("-Infinity", "GBP"),
    ("10,00", "GBP"),
    ("1.000,00", "EUR"),
    ("1,000.00", "GBP"),
    ("1_000.00", "GBP"),
    ("1.2.3", "GBP"),
    ("12.", "GBP"),
    (".50", "GBP"),
    ("-.50", "GBP"),
    ("--1", "GBP"),
    ("1-", "GBP"),
    ("-", "GBP"),
    ("+1", "GBP"),
    ("£1", "GBP"),
    ("1 GBP", "GBP"),
    (" 1", "GBP"),
    ("1\n", "GBP"),
    ("", "GBP"),
    ("0x10", "GBP"),
    ("٣", "GBP"),
    ("\uff11\uff12", "GBP"),
    ("²", "GBP"),
    (12, "GBP"),
    (1.5, "GBP"),
    (float("nan"), "GBP"),
    (Decimal("1.50"), "GBP"),
    (True, "GBP"),
    (None, "GBP"),
    (["1.00"], "GBP"),
    ("1.00", "XXX"),
    ("1.00", "gbp"),
    ("1.00", "BTC"),
    ("1.00", ""),
    ("1.00", None),
    ("1.00", 826),
]


@pytest.mark.parametrize(("text", "currency", "minor"), ACCEPTED)
def test_an_amount_is_read_to_the_last_unit(text: str, currency: str, minor: int):
    assert Money.parse(text, currency) == Money(minor, currency)


@pytest.mark.parametrize(("text", "currency"), REFUSED, ids=lambda value: repr(value)[:24])
def test_what_is_no_amount_is_refused_and_never_guessed(text: object, currency: object):
    with pytest.raises(BadAmount):
        Money.parse(text, currency)


@pytest.mark.parametrize("minor", [1.0, 0.1 + 0.2, True, "1", None, Decimal(1)])
def test_minor_units_are_whole_numbers_only(minor: object):
    with pytest.raises(BadAmount):
        Money(minor, "GBP")  # type: ignore[arg-type]


@pytest.mark.parametrize("join", ["__add__", "__sub__", "__lt__", "__le__"])
def test_two_currencies_are_never_put_together(join: str):
    with pytest.raises(BadAmount):
        getattr(Money(1, "GBP"), join)(Money(1, "EUR"))
    assert Money(1, "GBP") != Money(1, "EUR")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Money(14_148, "GBP"), "£141.48"),
        (Money(-250, "EUR"), "−€2.50"),
        (Money(1_000, "JPY"), "¥1,000"),
        (Money(1_234, "KWD"), "KWD 1.234"),
        (Money(12_345, "CLF"), "CLF 1.2345"),
        (Money(LARGEST, "GBP"), "£10,000,000,000,000.00"),
    ],
)
def test_an_amount_is_shown_with_all_its_decimals(amount: Money, shown: str):
    assert str(amount) == shown


AMOUNTS = st.integers(-LARGEST, LARGEST)
CURRENCIES = st.sampled_from(sorted(EXPONENTS))


@settings(max_examples=1_000, deadline=None, derandomize=True)
@given(AMOUNTS, CURRENCIES)
def test_writing_an_amount_and_reading_it_changes_nothing(minor: int, currency: str):
    amount = Money(minor, currency)

    assert Money.parse(f"{amount.decimal:.{EXPONENTS[currency]}f}", currency) == amount


@settings(max_examples=5_000, deadline=None, derandomize=True)
@given(st.integers(1, LARGEST), st.lists(st.integers(0, LARGEST), max_size=6), CURRENCIES)
def test_the_parts_of_an_amount_always_add_up_to_it(whole: int, cuts: list[int], currency: str):
    """Cut anywhere, each part written down and read again as a request would be."""
    places = [0, *sorted(cut % (whole + 1) for cut in cuts), whole]
    parts = [Money(upper - lower, currency) for lower, upper in pairwise(places)]

    read = [Money.parse(f"{part.decimal:.{EXPONENTS[currency]}f}", currency) for part in parts]

    left = Money(whole, currency)
    for part in read:
        left = left - part
    assert left == Money(0, currency)
    assert sum(read[1:], read[0]) == Money(whole, currency)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(max_size=26), CURRENCIES)
def test_any_text_is_read_exactly_or_refused(text: str, currency: str):
    try:
        amount = Money.parse(text, currency)
    except BadAmount:
        return
    assert amount.decimal == Decimal(text)


def test_nothing_is_refunded_for_an_amount_that_is_none(line: Line):
    """Each comes as a shop would send it: signed, stored, taken in; a person is asked what was meant."""
    order = line.paid()
    bad = ["0", "0.00", "-1", "-0.01", "0.001", "1e18", "NaN", "10,00", "1,000.00", "", "ten", True, [1], {"a": 1}]

    cases = [line.ask(amount, order=order) for amount in bad]
    other = line.ask("1.00", order=order, currency="XXX")
    line.work()

    assert line.refunds() == []
    assert set(Case.objects.values_list("state", flat=True)) == {CaseState.FAILED}
    assert all(Case.objects.get(pk=case.pk).problems for case in [*cases, other])


def test_a_number_with_a_point_is_taken_as_it_is_written(line: Line):
    """JSON has no decimals; the digits count, never the nearest binary fraction."""
    case = line.ask(19.9)  # type: ignore[arg-type]

    assert case.amount == Money(1_990, "GBP")
