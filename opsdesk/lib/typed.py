"""Amounts as people type them."""

import re

from opsdesk.lib.money import SYMBOLS, BadAmount, Money

_CODE = re.compile(r"(?i)^([a-z]{3})\s*(.*)$|^(.*?)\s*([a-z]{3})$")
_DECIMAL_COMMA = re.compile(r"[0-9.]*[0-9],[0-9]{1,2}")
_SPACES = str.maketrans(dict.fromkeys(" \u00a0\u202f'", ""))


def amount_as_typed(text: str, currency: str) -> Money | None:
    """The amount in “141.48”, “£1,141.48”, “141,48 eur”, “GBP 1 141.48”; None where it is none.

    `currency`: of an amount without a sign or a code. A comma before one or two last digits is a decimal comma.
    """
    text = text.strip()
    for code, symbol in SYMBOLS.items():
        if text.startswith(symbol) or text.endswith(symbol):
            text, currency = text.strip(symbol), code
    named = _CODE.match(text.strip())
    if named is not None:
        before, after, earlier, later = named.groups()
        text, currency = (after, before.upper()) if before else (earlier, later.upper())
    text = text.strip().translate(_SPACES)
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    try:
        return Money.parse(text.replace(",", ""), currency)
    except BadAmount:
        return None
