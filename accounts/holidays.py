"""Public holidays by country and part of it, from the package `holidays`, and the days an organization adds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import holidays
from holidays.registry import COUNTRIES

# From an inner capital to its word: UnitedKingdom, HongKong.
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


@lru_cache(maxsize=512)
def public_holidays(country: str, subdivision: str, year: int) -> Mapping[date, str]:
    """Public holidays of a year with their names, moved ones where they are observed; none without a country."""
    if not country:
        return {}
    found = holidays.country_holidays(country, subdiv=subdivision or None, years=year)
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class DaysOff:
    """Days on which nobody works: those the organization names, and the public holidays where it is."""

    named: frozenset[date]
    country: str = ""
    subdivision: str = ""

    def __contains__(self, day: object) -> bool:
        if day in self.named:
            return True
        return isinstance(day, date) and day in public_holidays(self.country, self.subdivision, day.year)


@lru_cache(maxsize=1)
def countries() -> Mapping[str, str]:
    """Countries whose holidays are known, by their ISO code, in the order of their names."""
    named = {codes[1]: _WORDS.sub(" ", codes[0]) for codes in COUNTRIES.values()}
    return dict(sorted(named.items(), key=lambda item: item[1]))


def subdivisions(country: str) -> list[str]:
    """Codes of the parts of a country that have holidays of their own."""
    return list(holidays.list_supported_countries().get(country, []))
