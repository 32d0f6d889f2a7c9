"""One case in any state: everything that is known, and what may be done."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET
from django_htmx.http import trigger_client_event

from accounts.access import requires
from accounts.roles import Permission
from approvals.second_opinions import StillBlind
from approvals.views.evidence import open_file
from approvals.views.showing import listing_of, show_case, to_second_opinion
from auditlog.models import Entry
from opsdesk.lib.htmx import render_page
from opsdesk.lib.requests import OpsRequest
from workflows.models import Case


@require_GET
@requires(Permission.SEE_DESK)
def page(request: OpsRequest, pk: int) -> HttpResponse:
    """The page of one case; for whoever owes a second opinion on it, the page where it is given."""
    try:
        return show_case(request, open_file(request.membership, pk))
    except StillBlind as blind:
        return to_second_opinion(request, blind.opinion)


@require_GET
@requires(Permission.SEE_DESK)
def news(request: OpsRequest, pk: int) -> HttpResponse:
    """What happened to an opened case since it was shown, so that nobody decides on what is no longer so."""
    case = get_object_or_404(Case.objects.visible_to(request.membership), pk=pk)
    seen = request.GET.get("seen", "")
    later = Entry.objects.visible_to(request.membership).filter(case_id=case.pk)
    if seen.isascii() and seen.isdigit() and len(seen) < 19:
        later = later.filter(pk__gt=int(seen))
    entry = later.order_by("-pk").first()
    listing = listing_of(request)
    url = listing.url(case=pk) if listing else reverse("approvals:case", args=[pk])
    template = "approvals/_case_news.html"
    follows = "follows" in request.GET
    response = render_page(request, template, template, {"entry": None if follows else entry, "url": url})
    # A page that only watches reads the case again; where somebody is deciding, the news is offered.
    return trigger_client_event(response, "case-moved") if entry and follows else response
