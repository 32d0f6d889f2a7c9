"""Amounts as Stripe counts them, which for some currencies is not how ISO 4217 does.

Source: https://docs.stripe.com/currencies (zero-decimal, three-decimal and special-case currencies).
"""

from opsdesk.lib.money import EXPONENTS, BadAmount, Money

# Without minor unit, yet counted in hundredths there.
_COUNTED_IN_HUNDREDTHS = frozenset({"ISK", "UGX"})
# Three decimals, of which Stripe takes only two.
_LAST_DIGIT_ZERO = frozenset(code for code, exponent in EXPONENTS.items() if exponent == 3)
_UNKNOWN_THERE = frozenset({"CLF", "IQD", "LYD"})


def to_stripe(amount: Money) -> int:
    """The number Stripe wants for an amount; raises BadAmount where it has none."""
    if amount.currency in _UNKNOWN_THERE:
        raise BadAmount(f"Stripe does not know {amount.currency}.")
    if amount.currency in _LAST_DIGIT_ZERO and amount.minor % 10:
        raise BadAmount(f"Stripe takes {amount.currency} with two decimals only, and {amount} has three.")
    return amount.minor * 100 if amount.currency in _COUNTED_IN_HUNDREDTHS else amount.minor


def from_stripe(number: int, currency: str) -> Money:
    """The amount that Stripe's number stands for; raises BadAmount."""
    code = currency.upper()
    if code in _COUNTED_IN_HUNDREDTHS:
        number, rest = divmod(number, 100)
        if rest:
            raise BadAmount(f"{code} has no hundredths.")
    return Money(number, code)
