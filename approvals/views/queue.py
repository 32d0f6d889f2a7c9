"""The review desk: the list on the left, the evidence in the middle, the actions in a fixed place."""

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from approvals.models import Review
from approvals.second_opinions import StillBlind
from approvals.states import ReviewState
from approvals.views.evidence import open_file
from approvals.views.listing import Listing, numbers_in
from approvals.views.panel import outcome_of
from approvals.views.showing import answer, case_context, empty_context, steps_context, to_second_opinion
from opsdesk.lib.htmx import render_page, wants_fragment
from opsdesk.lib.requests import OpsRequest


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """The queue, with the case named by `?case=` opened beside it."""
    listing = Listing(request.membership, request.GET)
    if wants_fragment(request) and request.htmx.target == "queue":
        return answer(request, "approvals/_list.html", empty_context(request, listing))
    if wants_fragment(request) and request.htmx.target == "queue-rows":
        return answer(request, "approvals/_narrowed.html", _narrowed(request, listing))
    named = numbers_in(request.GET.get("case", ""))
    try:
        file = open_file(request.membership, named[0]) if named else None
    except StillBlind as blind:
        return to_second_opinion(request, blind.opinion)
    context = case_context(request, file, listing=listing) if file else empty_context(request, listing)
    fragment = wants_fragment(request)
    template = "approvals/queue_page.html"
    if fragment:
        template = "approvals/_opened.html" if request.htmx.target == "opened" else "approvals/_desk.html"
    return answer(request, template, context)


def _narrowed(request: OpsRequest, listing: Listing) -> dict[str, object]:
    """The list after its filters changed, and where the opened case stands in it."""
    named = numbers_in(request.GET.get("case", ""))
    reviews = Review.objects.visible_to(request.membership).filter(case_id__in=named[:1])
    review = reviews.order_by("-pk").first() if named else None
    return {"listing": listing, "review": review, **steps_context(listing, review)}


def _left(review: Review) -> dict[str, object]:
    """A review that is no longer in the list, with what became of it."""
    elsewhere = "no longer in this view" if review.state == ReviewState.OPEN else outcome_of(review)
    return {"review": review, "outcome": elsewhere}


@require_GET
@requires(Permission.SEE_DESK)
def news(request: OpsRequest) -> HttpResponse:
    """What changed in the list since it was shown: new cases are offered, decided ones are marked where they stand."""
    listing = Listing(request.membership, request.GET)
    shown = numbers_in(request.GET.get("shown", ""))
    now = [review.pk for review in listing.rows]
    gone = Review.objects.visible_to(request.membership).filter(pk__in=[pk for pk in shown if pk not in now])
    # One's own decisions took their rows away already.
    gone = gone.exclude(decided_by=request.user)
    if "full" in request.GET:
        # The list went on below the page: what moves up from there is not new.
        last = max((place for place, pk in enumerate(now) if pk in shown), default=-1)
        now = now[: last + 1]
    context = {
        "listing": listing,
        "standing": [item for item in listing.items if item["review"].pk in shown],
        "new": len(set(now) - set(shown)),
        "gone": [_left(review) for review in gone.select_related("case", "decided_by")],
    }
    return render_page(request, "approvals/_list_news.html", "approvals/_list_news.html", context)
