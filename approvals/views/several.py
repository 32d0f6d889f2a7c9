"""Several cases at once: tick them in the list of the queue, read the total, decide with one reason."""

from typing import Any

from django.contrib import messages
from django.db.models import prefetch_related_objects
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from approvals.bulk_kinds import CASES, why_not_each
from approvals.views.listing import Listing
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest
from workflows.bulk import services
from workflows.bulk.registry import kinds, kinds_for

_LARGEST_KEY = 2**63 - 1


@require_GET
@requires(Permission.DECIDE)
def index(request: OpsRequest) -> HttpResponse:
    """The page of the queue as a table with boxes to tick."""
    listing = Listing(request.membership, request.GET)
    prefetch_related_objects(listing.rows, "settings", "run__version__published_by", "case__requested_by_user")
    rows: list[dict[str, Any]] = [
        {"review": review, "refused": refused, "url": listing.url(case=review.case_id)}
        for review, refused in zip(listing.rows, why_not_each(request.user, listing.rows), strict=True)
    ]
    context = {"listing": listing, "rows": rows, "kinds": kinds_for(CASES.name), "query": listing.origin}
    return render(request, "approvals/several_page.html", context)


@require_POST
@requires(Permission.DECIDE)
def begin(request: OpsRequest) -> HttpResponse:
    """Keep what was ticked, with the content it has now, and show what would be done."""
    back = _back(request.POST.get("query", ""))
    kind = kinds.get(request.POST.get("kind", ""))
    if kind is None or kind.subject is not CASES:
        messages.warning(request, "Choose what is to be done.")
        return redirect(back)
    ticked = [int(key) for key in request.POST.getlist("ticked") if key.isascii() and key.isdigit() and len(key) < 19]
    subjects = CASES.chosen(request, [key for key in ticked if key <= _LARGEST_KEY])
    try:
        bulk = services.preview(kind, subjects, selection={"ticked": True}, member=request.membership)
    except DomainError as refusal:
        messages.warning(request, str(refusal))
        return redirect(back)
    return redirect("workflows:bulk", bulk.pk)


def _back(query: str) -> str:
    return f"{reverse('approvals:several')}?{QueryDict(query.removeprefix('?')).urlencode()}".rstrip("?")
