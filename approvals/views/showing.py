"""Answers that show a case: alone, or beside the queue it was opened from."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.db.models.functions import Now
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect, replace_url, reswap, retarget, trigger_client_event

from approvals import claims, second_opinions, terms
from approvals.models import ReasonCode, Review, SecondOpinion
from approvals.states import ReviewState
from approvals.views.evidence import CaseFile, open_file
from approvals.views.listing import CAP, FROM_QUEUE, Listing, numbers_in
from approvals.views.panel import Panel, outcome_of
from opsdesk.lib.counting import in_words
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import wants_fragment
from opsdesk.lib.requests import OpsRequest

# So many cases that others are faster with, or that one may not decide, are stepped over.
_CLAIM_TRIES = 5


def listing_of(request: OpsRequest) -> Listing | None:
    """The queue an action came from, as its form or its address says; None when it came from a case page."""
    params = request.GET
    if request.method == "POST" and "listing" in request.POST:
        # The list may have been narrowed since the case beside it was opened.
        params = QueryDict(request.POST["listing"].removeprefix("?"))
    return Listing(request.membership, params) if params.get("from") == FROM_QUEUE else None


def case_context(
    request: OpsRequest, file: CaseFile, *, listing: Listing | None = None, said: str = "", **typed: Any
) -> dict[str, Any]:
    """What evidence and actions need. `typed`: forms that were refused, and the refusal."""
    codes = ReasonCode.objects.filter(organization_id=request.membership.organization_id, enabled=True)
    codes = codes.order_by("verdict", "position")
    undoable = _undoable(request)
    return {
        "file": file,
        "case": file.case,
        "review": file.review,
        "panel": Panel(file, request.membership, list(codes), **typed),
        "listing": listing,
        **steps_context(listing, file.review),
        "self_url": listing.url(case=file.case.pk) if listing else reverse("approvals:case", args=[file.case.pk]),
        "here": listing.origin if listing else "",
        "chosen": True,
        "undoable": undoable,
        "undo_since": _decided_at(undoable),
        "undo_words": outcome_of(undoable).split(" by ")[0] if undoable else "",
        "said": said,
    }


def steps_context(listing: Listing | None, review: Review | None) -> dict[str, Any]:
    """Where a review stands in the list, and the way to those beside it."""
    if listing is None:
        return {}
    before_url, after_url = listing.neighbours(review)
    return {
        "place": None if listing.after else listing.place_of(review),
        "place_of": in_words(listing.counts[listing.view], CAP),
        "before_url": before_url,
        "after_url": after_url,
    }


def show_case(
    request: OpsRequest, file: CaseFile, *, status: int = 200, listing: Listing | None = None, **more: Any
) -> HttpResponse:
    """The case as it is now: the fragment for htmx, else the page it belongs to."""
    context = case_context(request, file, listing=listing, **more)
    if wants_fragment(request):
        return answer(request, "approvals/_opened.html", context, status=status)
    if listing is not None:
        return answer(request, "approvals/queue_page.html", context, status=status)
    return answer(request, "approvals/case_page.html", context, status=status)


def _opens_next(request: OpsRequest, listing: Listing, done: Review, *, claiming: bool) -> Review | None:
    """The next case of the queue that no colleague has open; for whoever works by claims, one they could claim."""
    candidates = listing.following(done)
    if claiming:
        for review in candidates[:_CLAIM_TRIES]:
            with suppress(DomainError):
                claims.claim(review.pk, by=request.user)
                return review
    return candidates[0] if candidates else None


def to_second_opinion(request: OpsRequest, owed: SecondOpinion) -> HttpResponse:
    """Lead there instead of to the case, and say why; htmx is told to leave the page.

    It is answered by the account that was asked: to another one of the same person it is only said.
    """
    if owed.asked_id != request.user.pk:
        raise second_opinions.StillBlind(owed)
    messages.info(request, second_opinions.BLIND)
    address = reverse("approvals:second_opinion", args=[owed.pk])
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)


def show_next(
    request: OpsRequest, listing: Listing, done: Review, said: str, *, claiming: bool = False
) -> HttpResponse:
    """What opens by itself after a decision: the next case of the queue, while the list keeps its place.

    `claiming`: the person had claimed the one that is done, so the next one is claimed for them too.
    """
    following = _opens_next(request, listing, done, claiming=claiming)
    if not wants_fragment(request):
        messages.success(request, said)
        return redirect(listing.url(case=following.case_id) if following else listing.url())
    displayed = [str(pk) for pk in numbers_in(request.POST.get("shown", ""))]
    if following is None or str(following.pk) not in displayed:
        return show_desk(request, listing, following.case_id if following else None, said=said)
    file = open_file(request.membership, following.case_id)
    context = case_context(request, file, listing=listing, said=said) | {
        "done": done if str(done.pk) in displayed else None,
        "done_url": listing.url(case=done.case_id),
        "shown": ".".join(pk for pk in displayed if pk != str(done.pk) or done.state == ReviewState.OPEN),
    }
    response = answer(request, "approvals/_next.html", context)
    spoken = f"{said} Next: {file.case.who}, {file.case.amount or 'amount not known'}."
    trigger_client_event(response, "announce", {"text": spoken})
    return replace_url(response, listing.url(case=following.case_id))


def show_desk(request: OpsRequest, listing: Listing, case_id: int | None, *, said: str = "") -> HttpResponse:
    """List and case together, both read afresh."""
    if not wants_fragment(request):
        messages.success(request, said)
        return redirect(listing.url(case=case_id))
    if case_id is None:
        context = empty_context(request, listing, said=said)
    else:
        context = case_context(request, open_file(request.membership, case_id), listing=listing, said=said)
    response = answer(request, "approvals/_desk.html", context)
    trigger_client_event(response, "announce", {"text": said})
    return replace_url(reswap(retarget(response, "#desk"), "outerHTML"), listing.url(case=case_id))


def empty_context(request: OpsRequest, listing: Listing, *, said: str = "") -> dict[str, Any]:
    """The desk without an opened case."""
    undoable = _undoable(request)
    return {
        "listing": listing,
        "chosen": False,
        "here": listing.origin,
        "undoable": undoable,
        "undo_since": _decided_at(undoable),
        "undo_words": outcome_of(undoable).split(" by ")[0] if undoable else "",
        "said": said,
    }


def show_or_return(request: OpsRequest, pk: int, said: str) -> HttpResponse:
    """The same case after something was done to it; without htmx a redirect, so that a reload does nothing twice."""
    listing = listing_of(request)
    if not wants_fragment(request):
        messages.success(request, said)
        return redirect(listing.url(case=pk) if listing else reverse("approvals:case", args=[pk]))
    response = show_case(request, open_file(request.membership, pk), listing=listing, said=said)
    trigger_client_event(response, "announce", {"text": said})
    return response if listing else replace_url(response, reverse("approvals:case", args=[pk]))


def answer(request: OpsRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """Render, and say that the answer depends on which control asked."""
    response = render(request, template, context, status=status)
    patch_vary_headers(response, ["HX-Request", "HX-Target", "Cookie"])
    return response


def _undoable(request: OpsRequest) -> Review | None:
    """This person's latest decision that can still be taken back."""
    return (
        Review.objects.visible_to(request.membership)
        .filter(
            decided_by=request.user,
            state__in=[ReviewState.APPROVING, ReviewState.REJECTING],
            settles_at__gt=Now(),
        )
        .select_related("case", "settings", "decided_by")
        .order_by("-settles_at")
        .first()
    )


def _decided_at(review: Review | None) -> datetime | None:
    if review is None or review.settles_at is None:
        return None
    return review.settles_at - timedelta(seconds=terms.of(review).undo_seconds)
