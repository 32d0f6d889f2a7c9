"""The page about the log's seals: how far it is sealed, where its heads went, whether it was found whole."""

from collections import defaultdict
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from auditlog.models import Entry, Handing, Seal
from auditlog.seals import handing, looking
from opsdesk.lib.paging import newest_first
from opsdesk.lib.requests import OpsRequest

SHOWN = 30


@require_GET
@requires(Permission.READ_AUDIT)
def index(request: OpsRequest) -> HttpResponse:
    """The newest seals with whoever has their heads. They close the entries of every organization together."""
    page = newest_first(Seal.objects.defer("leaves"), request, size=SHOWN, key="number")
    numbers = [seal.number for seal in page.rows]
    had = defaultdict[int, list[str]](list)
    for row in Handing.objects.filter(seal_number__in=numbers, trouble="").order_by("pk"):
        had[row.seal_number].append(row.outlet)
    newest = Seal.objects.values_list("last_id", flat=True).first() or 0
    context = {
        "page": page,
        "seals": [(seal, bytes(seal.head).hex(), had[seal.number]) for seal in page.rows],
        "outlets": [_outlet(name) for name in handing.configured()],
        "look": looking.last(),
        "waits_since": Entry.objects.filter(pk__gt=newest).order_by("pk").values_list("at", flat=True).first(),
    }
    return render(request, "auditlog/seal_list.html", context)


def _outlet(name: str) -> dict[str, Any]:
    tries = Handing.objects.filter(outlet=name).order_by("-pk")
    return {"name": name, "last": tries.first(), "taken": handing.last_taken(name)}
