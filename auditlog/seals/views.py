"""The page about the log's seals: how far it is sealed, where its heads went, whether it was found whole."""

from collections import defaultdict
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from auditlog.models import Change, ChangeSeal, Entry, Handing, Seal
from auditlog.seals import handing, looking
from opsdesk.lib.paging import Page, newest_first
from opsdesk.lib.requests import OpsRequest

SHOWN = 30


@require_GET
@requires(Permission.READ_AUDIT)
def index(request: OpsRequest) -> HttpResponse:
    """The newest seals of one of the two chains, and how both stand. They close what is told of all organizations."""
    newest, over_changes = Seal.objects.defer("leaves").first(), ChangeSeal.objects.defer("leaves").first()
    of_changes = request.GET.get("chain") == "changes"
    context = {
        **(_changes(request, newest) if of_changes else _entries(request)),
        "of_changes": of_changes,
        "outlets": [_outlet(name) for name in handing.configured()],
        "look": looking.last(),
        "entries_wait": _oldest_after(Entry.objects.all(), newest),
        "changes_wait": _oldest_after(Change.objects.all(), over_changes),
    }
    return render(request, "auditlog/seal_list.html", context)


def _entries(request: HttpRequest) -> dict[str, Any]:
    """Seals over entries, with whoever has their heads."""
    page = newest_first(Seal.objects.defer("leaves"), request, size=SHOWN, key="number")
    had = defaultdict[int, list[str]](list)
    numbers = [seal.number for seal in page.rows]
    for row in Handing.objects.filter(seal_number__in=numbers, trouble="").order_by("pk"):
        had[row.seal_number].append(row.outlet)
    return {"page": page, "seals": [(*with_head, had[with_head[0].number]) for with_head in _with_heads(page)]}


def _changes(request: HttpRequest, newest: Seal | None) -> dict[str, Any]:
    """Seals over what the database saw, and up to which of them a seal over entries names them."""
    page = newest_first(ChangeSeal.objects.defer("leaves"), request, size=SHOWN, key="number")
    return {"page": page, "seals": _with_heads(page), "named": newest.changes_number if newest else 0}


def _with_heads(page: Page) -> list[tuple[Any, str]]:
    return [(seal, bytes(seal.head).hex()) for seal in page.rows]


def _oldest_after(rows: "QuerySet[Any]", seal: Seal | ChangeSeal | None) -> Any:
    """When the first of these was written that no seal closes; None where there is none."""
    return rows.filter(pk__gt=seal.last_id if seal else 0).order_by("pk").values_list("at", flat=True).first()


def _outlet(name: str) -> dict[str, Any]:
    tries = Handing.objects.filter(outlet=name).order_by("-pk")
    return {"name": name, "last": tries.first(), "taken": handing.last_taken(name)}
