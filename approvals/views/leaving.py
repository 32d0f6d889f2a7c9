"""Cases that go out by themselves unless somebody objects."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import trigger_client_event

from accounts.access import requires
from accounts.roles import Permission
from approvals import services
from approvals.forms import CommentForm
from approvals.models import Review
from approvals.states import ReviewState
from approvals.views.deciding import review_of
from approvals.views.listing import numbers_in
from approvals.views.panel import outcome_of
from approvals.views.showing import answer
from integrations.models import Notice
from integrations.states import NoticeState
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import render_page, wants_fragment
from opsdesk.lib.money import Money
from opsdesk.lib.requests import OpsRequest
from workflows.states import Tier

MOST = 60
_KEYS = "123456789"


@dataclass(frozen=True, slots=True)
class Card:
    """One case that leaves, or that was on the page and no longer does."""

    review: Review
    told: Sequence[Notice]
    key: str = ""

    @property
    def is_leaving(self) -> bool:
        return self.review.state == ReviewState.OPEN and self.review.tier == Tier.FAST_TRACK

    @property
    def outcome(self) -> str:
        """Why it no longer leaves by itself."""
        if self.review.state == ReviewState.OPEN:
            return "Somebody objected: it waits for people."
        return outcome_of(self.review)

    @property
    def read_by(self) -> list[Notice]:
        """The notices that somebody has opened."""
        return [notice for notice in self.told if notice.read_at is not None]

    @property
    def delivered(self) -> Notice | None:
        """The notice that is known to have arrived first at somebody, by mail or chat, which starts the clock."""
        arrived = [each for each in self._outward if each.delivered_at is not None]
        return min(arrived, key=lambda notice: (notice.delivered_at, notice.pk), default=None)

    @property
    def undelivered(self) -> bool:
        """Whether every mail and message was given up."""
        return bool(self._outward) and all(notice.state == NoticeState.FAILED for notice in self._outward)

    @property
    def _outward(self) -> list[Notice]:
        return [notice for notice in self.told if notice.channel != "app"]

    @property
    def since(self) -> datetime | None:
        """When the clock started: with the delivery of the notice."""
        return self.delivered.delivered_at if self.delivered is not None else None


def _cards(reviews: Iterable[Review], *, keyed: bool = True) -> list[Card]:
    rows = list(reviews)
    told: dict[str, list[Notice]] = {}
    topics = [f"leaving:{review.pk}" for review in rows]
    personal = Notice.objects.filter(topic__in=topics, recipient__isnull=False)
    for notice in personal.select_related("recipient"):
        told.setdefault(notice.topic, []).append(notice)
    return [
        Card(review, told.get(f"leaving:{review.pk}", []), _KEYS[place] if keyed and place < len(_KEYS) else "")
        for place, review in enumerate(rows)
    ]


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """All of them, the first to leave first."""
    rows = Review.objects.visible_to(request.membership).leaving().select_related("settings", "decision")
    found = list(rows[: MOST + 1])
    cards = _cards(found[:MOST])
    context = {
        "cards": cards,
        "many": MOST if len(found) > MOST else 0,
        "sums": _sums(card.review for card in cards),
        "shown": ".".join(str(card.review.pk) for card in cards),
        "idle": ".".join(str(card.review.pk) for card in cards if card.review.objection_ends_at is None),
        "may_object": request.membership.may(Permission.DECIDE),
    }
    return render_page(request, "approvals/leaving_page.html", "approvals/_leaving.html", context)


def _sums(reviews: Iterable[Review]) -> list[Money]:
    """What would go out altogether, a currency each."""
    sums: dict[str, Money] = {}
    for review in reviews:
        amount = review.case.amount
        if amount is not None:
            sums[amount.currency] = sums.get(amount.currency, Money(0, amount.currency)) + amount
    return [sums[currency] for currency in sorted(sums)]


@require_GET
@requires(Permission.SEE_DESK)
def news(request: OpsRequest) -> HttpResponse:
    """What changed since the cards were shown: new ones are offered, the others change where they stand."""
    shown, idle = numbers_in(request.GET.get("shown", "")), numbers_in(request.GET.get("idle", ""))
    visible = Review.objects.visible_to(request.membership)
    now = set(visible.leaving().values_list("pk", flat=True)[: MOST + 1])
    changed = visible.filter(pk__in=[pk for pk in shown if pk not in now] or [0])
    started = visible.leaving().filter(pk__in=idle, objection_ends_at__isnull=False)
    related = ("case", "settings", "decision", "decided_by")
    gone = _cards(changed.select_related(*related), keyed=False)
    context = {
        "new": len(now - set(shown)),
        "sums": _sums(visible.leaving()[:MOST]) if gone else [],
        "gone": gone,
        "started": _cards(started.select_related("settings", "decision"), keyed=False),
        "shown": ".".join(map(str, shown)),
        "idle": ".".join(str(pk) for pk in idle if pk in now and pk not in {review.pk for review in started}),
    }
    return render_page(request, "approvals/_leaving_news.html", "approvals/_leaving_news.html", context)


@require_POST
@requires(Permission.DECIDE)
def object_to(request: OpsRequest, pk: int) -> HttpResponse:
    """Object from the card; the card says what came of it and stays where it is."""
    review, form, status = review_of(request, pk), CommentForm(request.POST), 200
    text = form.cleaned_data["text"] if form.is_valid() else ""
    refusal = ""
    try:
        review = services.object_to(review.pk, by=request.user, text=text)
    except DomainError as refused:
        review, status, refusal = review_of(request, pk), 409, str(refused)
    said = refusal or f"Objected: {review.case} waits for people now."
    if not wants_fragment(request):
        (messages.error if refusal else messages.success)(request, said)
        return redirect("approvals:leaving")
    context = {
        "card": _cards([review], keyed=False)[0],
        "refusal": refusal,
        "may_object": True,
        "sums": _sums(Review.objects.visible_to(request.membership).leaving()[:MOST]),
    }
    response = answer(request, "approvals/_leaving_objected.html", context, status=status)
    return trigger_client_event(response, "announce", {"text": said})
