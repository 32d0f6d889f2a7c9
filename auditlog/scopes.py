"""What narrows the log to some cases. The log knows cases by number only: the rooms above say which ones are meant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet


@dataclass(frozen=True, slots=True)
class Scope:
    """One filter of the audit page.

    `cases` gives the numbers of the cases an organization's key and what was chosen stand for; None where that says
    nothing that can be understood. `choices` lists value and words; without them the value is typed.
    """

    name: str
    label: str
    cases: Callable[[int, str], "QuerySet[Any, int] | None"]
    choices: Callable[[int], Sequence[tuple[str, str]]] | None = None
    hint: str = ""


_scopes: dict[str, Scope] = {}


def add_scope(scope: Scope) -> None:
    """Offer a filter on the audit page."""
    _scopes[scope.name] = scope


def scopes() -> list[Scope]:
    """All of them, in the order in which they were added."""
    return list(_scopes.values())
