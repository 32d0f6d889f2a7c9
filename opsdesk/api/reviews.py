"""Reviews: look, and vote with the same service, reasons and content hash as the screen."""

from datetime import datetime
from typing import Any, Literal

from django.shortcuts import get_object_or_404
from ninja import Schema
from pydantic import Field

from accounts import confirming
from accounts.tokens import Scope
from approvals import services
from approvals.forms import DecisionForm
from approvals.models import ReasonCode, Review
from approvals.states import ReviewState, Verdict
from opsdesk.api.cases import Before, CaseOut, Limit, page_of
from opsdesk.api.desk import Caller, api, needs
from opsdesk.api.problems import Refused


class ReviewOut(Schema):
    """A review; `seen` is the hash of what is to be decided, and goes back with the decision."""

    id: int
    case: CaseOut
    tier: str
    state: str
    stage: int
    due_at: datetime
    seen: str = Field(alias="content_hash")
    blocked_reason: str


class Reviews(Schema):
    """Some of them, newest first; `next` is what to send as `before` for those after them."""

    items: list[ReviewOut]
    next: int | None


class Decision(Schema):
    """A verdict with its reason, and the hash of what was looked at."""

    verdict: Literal["approve", "reject"]
    reason: str
    seen: str = Field(max_length=64)
    text: str = Field("", max_length=2000)
    second_look: bool = False


@api.get("/reviews", response=Reviews, by_alias=False, url_name="reviews", summary="List reviews")
@needs(Scope.REVIEWS_READ)
def list_reviews(request: Caller, state: ReviewState | None = None, before: Before = None, limit: Limit = 50) -> Any:
    """Newest first; “state” narrows them down."""
    rows = Review.objects.visible_to(request.membership).select_related("case")
    return page_of(rows.filter(state=state) if state else rows, before, limit)


@api.post("/reviews/{int:pk}/decide", response=ReviewOut, by_alias=False, url_name="decide", summary="Vote on a review")
@needs(Scope.REVIEWS_DECIDE)
def decide(request: Caller, pk: int, said: Decision) -> Any:
    """One vote. Refused where the account may not vote, for its own requests, and above the token's ceiling."""
    rows = Review.objects.visible_to(request.membership).select_related("case", "settings", "run")
    review = get_object_or_404(rows, pk=pk)
    verdict = Verdict(said.verdict)
    if verdict == Verdict.APPROVE:
        _check_ceilings(request, review)
    codes = list(ReasonCode.objects.filter(organization_id=review.organization_id))
    chosen = next((code for code in codes if code.code == said.reason and code.verdict == verdict), None)
    sent = {"verdict": said.verdict, f"reason_{said.verdict}": str(chosen.pk if chosen else ""), "text": said.text}
    form = DecisionForm(sent | {"seen": said.seen, "second_look": said.second_look}, review=review, codes=codes)
    if not form.is_valid():
        wrong = [{"where": name.partition("_")[0], "what": str(errors[0])} for name, errors in form.errors.items()]
        names = [code.code for code in codes if code.enabled and code.verdict == verdict]
        raise Refused(422, "Correct the named fields and send it again.", errors=wrong, reasons=names)
    services.decide(
        review.pk, voter=request.user, verdict=verdict, rationale=form.cleaned_data["rationale"], seen=said.seen
    )
    return Review.objects.select_related("case").get(pk=pk)


def _check_ceilings(request: Caller, review: Review) -> None:
    amount = review.case.amount
    if not request.auth.approves(amount):
        raise Refused(403, f"{amount} is above the token's ceiling: it is approved on the desk, by a person.")
    if confirming.is_above(request.membership.organization, amount):
        raise Refused(403, f"Before {amount} is approved a person shows again who they are: approve it on the desk.")
