"""The operations there are. A room adds its own: one `Kind` a file, registered where the app begins."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict

from accounts.models import User
from accounts.roles import Permission
from opsdesk.lib.requests import OpsRequest
from workflows.forms import BulkForm
from workflows.models import Bulk


@dataclass(frozen=True, slots=True)
class Subject:
    """What operations of some kinds work on, and how the desk finds and names it."""

    name: str  # in the plural, as the page says it
    # Those the member may see that a list page with this query shows; raises NothingChosen for a query it cannot read.
    matching: Callable[[OpsRequest, QueryDict], QuerySet[Any]]
    # Those of the given keys that the member may see.
    chosen: Callable[[OpsRequest, list[int]], QuerySet[Any]]
    # Rows by key, with all that `words`, `why_not` and `would` read of them, asked for many at once.
    load: Callable[[list[int]], Mapping[int, Any]]
    # Those of them, by key, that belong to some cases.
    of_cases: Callable[[list[int]], Iterable[int]]
    # What the preview says about a row beside its label.
    words: Callable[[Any], str]
    label: str  # with {pk}, such as RUN-{pk}
    url_name: str  # of the page of one
    list_url_name: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One operation. `perform` gives a sentence about what it did, or raises a DomainError as refusal."""

    name: str
    subject: Subject
    label: str
    icon: str
    words: str
    permission: Permission
    # Why it does not fit this subject as it stands; "" when it does. Only for the preview: `perform` decides.
    why_not: Callable[[Any], str]
    # (key of the subject, by whom, reason, parameters): one transaction with its own audit entry. The parameters are
    # those of the form; where the kind keeps stamps, `bulk` (its key) and `stamp` as well.
    perform: Callable[[int, User, str, Mapping[str, Any]], str]
    # Asks for the reason and what else the operation needs.
    form: type[BulkForm]
    # What would become of a subject that it fits, where that is not the same for all. Only for the preview.
    would: Callable[[Any], str] = lambda row: ""
    # What else a person should read before starting it, in sentences, and what stands above them.
    notes: Callable[[Bulk], list[str]] = lambda bulk: []
    notes_title: str = "What differs"
    # What each subject was when it was chosen, by key; `perform` finds it in its parameters as `stamp`.
    stamps: Callable[[list[int]], Mapping[int, str]] = lambda keys: {}
    # What it lets go, by currency in minor units: large sums ask first who starts it.
    lets_go: Callable[[Bulk], Mapping[str, int]] = lambda bulk: {}
    # Who works with bulks of this kind at all: on its pages, start, pause and cancel.
    door: Permission = Permission.REPAIR


kinds: dict[str, Kind] = {}


def add_kind(kind: Kind) -> None:
    """Teach the desk an operation."""
    if kinds.setdefault(kind.name, kind) is not kind:
        raise ValueError(f"The bulk operation {kind.name} is registered twice.")


def kinds_for(subject: str) -> list[Kind]:
    """The operations on one sort of subject, in the order in which they were registered."""
    return [kind for kind in kinds.values() if kind.subject.name == subject]
