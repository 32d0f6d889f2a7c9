"""How one person wants to see a list: which of its columns, and how close together its rows stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.http import HttpRequest

from accounts.models import Membership
from auditlog.services import Actor, record
from opsdesk.lists.registry import LISTS
from opsdesk.models import ListLook

# Columns that may be left out, by the key of the list; what names a row and says how it stands always stays.
OPTIONAL: Mapping[str, Mapping[str, str]] = {
    "cases": {
        "reference": "Reference",
        "amount": "Amount",
        "payment": "Payment",
        "reason": "Reason given",
        "stands": "Stands",
        "opened": "Opened",
    },
    "queue": {
        "amount": "Amount",
        "number": "Case number",
        "reason": "Reason given",
        "holder": "Who has it",
        "due": "Due",
    },
    "audit": {"case": "Case", "reason": "Why", "entries": "Each entry of a click"},
    "runs": {"amount": "Amount", "why": "Why", "workflow": "Workflow", "started": "Started"},
}


@dataclass(frozen=True, slots=True)
class Look:
    """One list as one person sees it; `has` says of each column that may be left out whether it is shown."""

    page: str
    has: Mapping[str, bool]
    density: str

    @property
    def close(self) -> bool:
        """Whether rows stand close together."""
        return self.density == ListLook.Density.CLOSE

    @property
    def choices(self) -> list[tuple[str, str, bool]]:
        """Key, label and whether it is shown, of each column that may be left out."""
        return [(key, label, self.has[key]) for key, label in OPTIONAL[self.page].items()]


class Looks:
    """What the templates ask, by the key of a list; each is read once, and only where it is asked for."""

    def __init__(self, request: HttpRequest) -> None:
        # What a request carries only stands for the account.
        self._account = getattr(getattr(request, "user", None), "pk", None)
        self._read: dict[str, Look] = {}

    def __getitem__(self, page: str) -> Look:
        if page not in OPTIONAL:
            raise KeyError(page)
        if page not in self._read:
            self._read[page] = look_of(self._account, page)
        return self._read[page]


def look_of(user_id: int | None, page: str) -> Look:
    """How that person left the list; everything, and roomy, for whoever never chose."""
    row = ListLook.objects.filter(user_id=user_id, page=page).first() if user_id is not None else None
    shown = set(row.columns) if row is not None else set(OPTIONAL[page])
    density = row.density if row is not None else ListLook.Density.ROOMY
    return Look(page, {key: key in shown for key in OPTIONAL[page]}, density)


@transaction.atomic
def choose(page: str, *, columns: Sequence[str], close: bool, member: Membership) -> None:
    """Remember it for that person and list. Raises KeyError for a list without columns to choose."""
    wanted = {
        "columns": [key for key in OPTIONAL[page] if key in columns],
        "density": ListLook.Density.CLOSE if close else ListLook.Density.ROOMY,
    }
    row, _ = ListLook.objects.update_or_create(user_id=member.user_id, page=page, defaults=wanted)
    record(
        "opsdesk.look.chosen",
        actor=Actor.person(member.user),
        organization_id=member.organization_id,
        subject=("listlook", row.pk),
        reason=f"How they see the list {LISTS[page].label}.",
        after=wanted,
    )


def looks(request: HttpRequest) -> dict[str, Looks]:
    """Context processor: `looks`."""
    return {"looks": Looks(request)}
