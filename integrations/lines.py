"""The lines of a request: which articles come back, and how many of each."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Codes of the shop that stand for something else than an article.
SPECIAL_CODES = frozenset({"D", "M", "S", "B", "POST", "DOT", "CRUK", "PADS", "C2", "BANK CHARGES", "AMAZONFEE"})
LONGEST_SKU = 40


@dataclass(frozen=True, slots=True)
class Lines:
    """What could be read of a request's lines; `whole` when that is all of them, and there is at least one."""

    units: Counter[str]
    whole: bool

    @property
    def articles(self) -> dict[str, int]:
        """Units by article, without what is none."""
        return {sku: units for sku, units in self.units.items() if sku.upper() not in SPECIAL_CODES}

    @property
    def special(self) -> bool:
        """Whether a line is no article, such as postage or a discount."""
        return any(sku.upper() in SPECIAL_CODES for sku in self.units)


def lines_of(data: Mapping[str, Any]) -> Lines:
    """The lines of a request as it was sent: `lines` is a list of {sku, quantity, …}, quantities above zero."""
    given = data.get("lines")
    lines = given if isinstance(given, list) else []
    units: Counter[str] = Counter()
    unread = 0
    for line in lines:
        row: Mapping[str, Any] = line if isinstance(line, Mapping) else {}
        sku, quantity = row.get("sku"), row.get("quantity")
        code = sku.strip() if isinstance(sku, str) else ""
        if not 0 < len(code) <= LONGEST_SKU:
            unread += 1
        elif isinstance(quantity, int) and not isinstance(quantity, bool) and quantity > 0:
            units[code] += quantity
        else:
            units[code] += 0  # the article is known, how many of it are not
            unread += 1
    return Lines(units, whole=bool(lines) and not unread)
