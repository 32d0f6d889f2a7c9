"""The reversals page: whether things can still be taken back, and what was asked to be."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from integrations.models import Reversal
from opsdesk.lib.requests import OpsRequest
from opsdesk.models import ReversalDrill
from opsdesk.watch.drills import is_old

SHOWN_DRILLS = 10
SHOWN_REVERSALS = 50


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """The last drill with its results, those before it, and the newest reversals of the organization."""
    drills = list(ReversalDrill.objects.filter(ended_at__isnull=False)[:SHOWN_DRILLS])
    last = drills[0] if drills else None
    reversals = Reversal.objects.visible_to(request.membership).select_related("original", "asked_by")
    context = {
        "last": last,
        "old": last is not None and is_old(last),
        "results": list(last.results.all()) if last is not None else [],
        "drills": drills,
        "reversals": list(reversals[:SHOWN_REVERSALS]),
    }
    return render(request, "opsdesk/reversals.html", context)
