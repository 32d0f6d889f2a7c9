"""What people decide: each a POST of its own, each through the one service that lets a single click win."""

from collections.abc import Callable

from django.http import Http404, HttpResponse
from django.views.decorators.http import require_POST

from accounts import confirming
from accounts.access import requires
from accounts.roles import Permission
from approvals import claims, services
from approvals.errors import AlreadyDecided
from approvals.forms import CommentForm, DecisionForm
from approvals.models import ReasonCode, Review
from approvals.states import ReviewState, Verdict
from approvals.views.evidence import open_file
from approvals.views.panel import outcome_of
from approvals.views.showing import listing_of, show_case, show_desk, show_next, show_or_return
from opsdesk.lib.errors import DomainError
from opsdesk.lib.money import Money
from opsdesk.lib.requests import OpsRequest


def review_of(request: OpsRequest, case_id: int) -> Review:
    """The newest review of a case this member may see; 404 for every other."""
    rows = Review.objects.visible_to(request.membership).filter(case_id=case_id)
    review = rows.select_related("case", "settings", "decided_by").order_by("-pk").first()
    if review is None:
        raise Http404("There is no review of such a case.")
    return review


@require_POST
@requires(Permission.DECIDE)
def decide(request: OpsRequest, pk: int) -> HttpResponse:
    """Approve or reject, with the rationale."""
    review, listing = review_of(request, pk), listing_of(request)
    codes = ReasonCode.objects.filter(organization_id=review.organization_id)
    form = DecisionForm(request.POST, review=review, codes=list(codes))
    if not form.is_valid():
        return show_case(request, open_file(request.membership, pk), status=422, listing=listing, form=form)
    if form.cleaned_data["verdict"] == Verdict.APPROVE:
        amount = form.cleaned_data["amount"] or review.case.amount
        asked = _asked_first(request, review, amount)
        if asked is not None:
            return asked
    verdict, claiming = Verdict(form.cleaned_data["verdict"]), claims.is_held_by(review, request.user)
    try:
        done = services.decide(
            review.pk,
            voter=request.user,
            verdict=verdict,
            rationale=form.cleaned_data["rationale"],
            seen=form.cleaned_data["seen"],
            amount=form.cleaned_data["amount"],
        )
    except DomainError as refused:
        return _refused(request, pk, refused, form=form)
    said = _said(done, verdict, form.cleaned_data["amount"])
    if listing is None:
        return show_or_return(request, pk, said)
    return show_next(request, listing, done, said, claiming=claiming)


def _asked_first(request: OpsRequest, review: Review, amount: Money | None) -> HttpResponse | None:
    """The page that asks who this is, before large sums are approved."""
    if not confirming.is_above(request.membership.organization, amount):
        return None
    return confirming.asked_first(request, what=f"approve {amount} for {review.case}")


def _said(review: Review, verdict: Verdict, amount: Money | None) -> str:
    what = f"{amount} of {review.case.amount} for {review.case}" if amount is not None else f"{review.case}"
    if review.state == ReviewState.OPEN:
        return f"You approved {what}; it needs another vote."
    return f"{'Approved' if verdict == Verdict.APPROVE else 'Rejected'} {what}."


def _refused(request: OpsRequest, pk: int, refused: DomainError, *, form: DecisionForm | None = None) -> HttpResponse:
    """The refusal in place, above the case as it is now."""
    file, text = open_file(request.membership, pk), str(refused)
    if isinstance(refused, AlreadyDecided) and file.review is not None:
        words = outcome_of(file.review)
        text = f"Already {words[:1].lower()}{words[1:]}" if file.review.decided_by else words or text
    return show_case(request, file, status=409, listing=listing_of(request), form=form, refusal=text)


@require_POST
@requires(Permission.DECIDE)
def take_back(request: OpsRequest, pk: int) -> HttpResponse:
    """Undo one's own decision while the window is open."""
    review, listing = review_of(request, pk), listing_of(request)
    try:
        services.take_back(review.pk, voter=request.user)
    except DomainError as refused:
        return _refused(request, pk, refused)
    said = f"Taken back: {review.case} is open again, nothing left."
    return show_desk(request, listing, pk, said=said) if listing else show_or_return(request, pk, said)


@require_POST
@requires(Permission.DECIDE)
def escalate(request: OpsRequest, pk: int) -> HttpResponse:
    """Put the case before the managers; it stays in the queue."""
    listing = listing_of(request)
    done = _commented(request, pk, lambda review, text: services.escalate(review.pk, by=request.user, text=text))
    if isinstance(done, HttpResponse):
        return done
    said = f"Escalated {done.case}."
    return show_next(request, listing, done, said) if listing else show_or_return(request, pk, said)


@require_POST
@requires(Permission.DECIDE)
def object_to(request: OpsRequest, pk: int) -> HttpResponse:
    """Keep a case from leaving by itself."""
    done = _commented(request, pk, lambda review, text: services.object_to(review.pk, by=request.user, text=text))
    if isinstance(done, HttpResponse):
        return done
    return show_or_return(request, pk, f"Objected: {done.case} waits for people now.")


def _commented(request: OpsRequest, pk: int, service: Callable[[Review, str], Review]) -> Review | HttpResponse:
    """Run a service that takes a comment; its review, or the answer that says why not."""
    review, form = review_of(request, pk), CommentForm(request.POST)
    if not form.is_valid():
        text = str(form.errors["text"][0])
        return show_case(
            request, open_file(request.membership, pk), status=422, listing=listing_of(request), refusal=text
        )
    try:
        return service(review, form.cleaned_data["text"])
    except DomainError as refused:
        return _refused(request, pk, refused)
