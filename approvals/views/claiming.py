"""Taking cases to decide them: the next one, or one that is looked at; each a POST, renewed while its page is open."""

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST
from django_htmx.http import trigger_client_event

from accounts.access import requires
from accounts.roles import Permission
from approvals import claims, pulling
from approvals.errors import AlreadyDecided
from approvals.views.deciding import review_of
from approvals.views.evidence import open_file
from approvals.views.listing import Listing, numbers_in
from approvals.views.panel import Panel, outcome_of
from approvals.views.showing import listing_of, show_case, show_desk, show_or_return
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import wants_fragment
from opsdesk.lib.requests import OpsRequest


@require_POST
@requires(Permission.DECIDE)
def take_next(request: OpsRequest) -> HttpResponse:
    """Open the next case for this person alone."""
    listing = listing_of(request) or Listing(request.membership, QueryDict())
    taken = pulling.take_next(request.membership)
    if taken is not None:
        return show_desk(request, listing, taken.review.case_id, said=f"{taken.review.case} is yours to decide.")
    said = "Nothing waits that you may decide and nobody else has open."
    if not wants_fragment(request):
        messages.info(request, said)
        return redirect(listing.url())
    opened = numbers_in(request.POST.get("case", ""))
    return show_desk(request, listing, opened[0] if opened else None, said=said)


@require_POST
@requires(Permission.DECIDE)
def claim(request: OpsRequest, pk: int) -> HttpResponse:
    """Take a case to decide it; `over` names the colleague it is taken from."""
    review = review_of(request, pk)
    over = numbers_in(request.POST.get("over", ""))
    try:
        claims.claim(review.pk, by=request.user, over=over[0] if over else None)
    except DomainError as refused:
        file, text = open_file(request.membership, pk), str(refused)
        if isinstance(refused, AlreadyDecided) and file.review is not None:
            text = outcome_of(file.review) or text
        return show_case(request, file, status=409, listing=listing_of(request), refusal=text)
    return show_or_return(request, pk, f"You have {review.case} now.")


@require_POST
@requires(Permission.DECIDE)
def let_go(request: OpsRequest, pk: int) -> HttpResponse:
    """Give a case back undecided."""
    review = review_of(request, pk)
    claims.let_go(review.pk, by=request.user)
    return show_or_return(request, pk, f"{review.case} is free for others.")


@require_POST
@requires(Permission.DECIDE)
def hold(request: OpsRequest, pk: int) -> HttpResponse:
    """Say that the page is still open; answers with nothing, or with who has the case by now."""
    review = review_of(request, pk)
    if claims.renew(review.pk, by=request.user):
        return HttpResponse(status=204)
    file = open_file(request.membership, pk)
    panel = Panel(file, request.membership, [])
    response = render(request, "approvals/_held.html", {"panel": panel, "review": file.review, "case": file.case})
    words = panel.held_words or outcome_of(review)
    return trigger_client_event(response, "announce", {"text": words}) if words else response
