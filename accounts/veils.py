"""Cases of which a member is not to see yet what became: whatever is read as that member leaves them out.

A room above says which cases these are. Rows of a case are read by `visible_to` in every room, and `visible_to` asks
here: so no list, filter, count, export or answer to a program tells by a row's presence what the case's own page would
not say.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import QuerySet

from accounts.models import Membership

Rows = TypeVar("Rows", bound=QuerySet[Any])
# The keys of the cases veiled from a membership, which the rows name as OuterRef.
Cases = Callable[[], QuerySet[Any, Any]]
_drawn: list[Cases] = []


def draw_veil(cases: Cases) -> None:
    """Have members not see yet what became of some cases; there is one such reason."""
    if _drawn and _drawn[0] is not cases:
        raise ValueError("A veil is drawn already.")
    _drawn[:] = [cases]


def with_veil(members: QuerySet[Any]) -> QuerySet[Any]:
    """The same members, each with `veiled`, so that reading as one of them needs no statement to know it."""
    return members.annotate(veiled=ArraySubquery(_drawn[0]())) if _drawn else members


def veiled_cases(member: Membership) -> list[int]:
    """The cases of which this member does not see yet what became, as they were when the member was read."""
    if member.veiled is None:
        found = with_veil(Membership.objects.filter(pk=member.pk)).values_list("veiled", flat=True) if _drawn else []
        member.veiled = next(iter(found), [])
    return member.veiled


def unveiled(rows: Rows, member: Membership, case: str = "case") -> Rows:
    """The rows but those of veiled cases; `case` leads from a row to the key of its case."""
    hidden = veiled_cases(member)
    return rows.exclude(**{f"{case}__in": hidden}) if hidden else rows
