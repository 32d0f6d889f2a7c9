"""Amounts as people type them."""

import pytest

from opsdesk.lib.money import Money
from opsdesk.lib.typed import amount_as_typed


@pytest.mark.parametrize(
    ("text", "minor", "currency"),
    [
        ("141.48", 14_148, "GBP"),
        ("141", 14_100, "GBP"),
        ("£1,141.48", 114_148, "GBP"),
        ("1,141", 114_100, "GBP"),
        ("1.141,48", 114_148, "GBP"),
        ("141,48 €", 14_148, "EUR"),
        ("€141.5", 14_150, "EUR"),
        ("141.48 usd", 14_148, "USD"),
        ("JPY 1 500", 1_500, "JPY"),
        ("1'141.48 CHF", 114_148, "CHF"),
        (" 1\u00a0141,48 ", 114_148, "GBP"),
    ],
)
def test_an_amount_is_read_as_it_was_meant(text, minor, currency):
    assert amount_as_typed(text, "GBP") == Money(minor, currency)


@pytest.mark.parametrize(
    "text", ["", "abc", "£", "12.345", "1.5 JPY", "1e3", "12 XXX", "CASE-12", "1,2,3.4.5", "\uff11\uff10"]
)
def test_what_is_no_amount_is_none(text):
    assert amount_as_typed(text, "GBP") is None
