"""What a policy may be about: every kind of record registers how its old rows are removed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

# From an organization's key, customer numbers, to a query of the keys of their cases.
CasesOf = Callable[[int, list[str]], QuerySet[Any, int]]


@dataclass(frozen=True, slots=True)
class Span:
    """Which rows are to go: of an organization, from before a moment, and of none of the held cases."""

    organization_id: int
    before: datetime
    held: frozenset[int]
    days: int
    most: int


# Removes up to `most` rows and returns how many.
Remove = Callable[[Span], int]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record that may be removed when it is old."""

    name: str
    label: str
    least_days: int
    remove: Remove


_kinds: dict[str, Kind] = {}
_cases_of: list[CasesOf] = []


def add_kind(kind: Kind) -> None:
    """Register a kind of record."""
    if _kinds.setdefault(kind.name, kind) != kind:
        raise ValueError(f"The kind of record {kind.name} is registered twice.")


def find_cases_by(cases_of: CasesOf) -> None:
    """Say how the cases of a customer are found; the app of cases does, which stands above."""
    _cases_of[:] = [cases_of]


def kind_of(name: str) -> Kind | None:
    """The kind of that name; None for one that this release does not know."""
    return _kinds.get(name)


def known() -> list[tuple[str, str]]:
    """Every kind with its label, for choices."""
    return sorted((kind.name, kind.label) for kind in _kinds.values())


def cases_of(organization_id: int, parties: list[str]) -> set[int]:
    """The cases of these customers."""
    return {key for find in _cases_of for key in find(organization_id, parties)}
