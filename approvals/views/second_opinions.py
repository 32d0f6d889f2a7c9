"""Second opinions: decided cases that another person judges without knowing how they were decided."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from approvals import second_opinions
from approvals.forms import SecondOpinionForm
from approvals.models import ReasonCode, SecondOpinion
from approvals.states import SecondOpinionState
from approvals.views.goods import goods_of
from approvals.views.grounds import grounds_of
from opsdesk.lib.errors import DomainError
from opsdesk.lib.money import Money
from opsdesk.lib.requests import OpsRequest
from workflows.facts import value_of

MOST = 50


@require_GET
@requires(Permission.DECIDE)
def index(request: OpsRequest) -> HttpResponse:
    """What this person was asked to look at, the longest waiting first."""
    looks = SecondOpinion.objects.visible_to(request.membership).open().select_related("review__case").order_by("pk")
    return render(request, "approvals/second_opinions_page.html", {"looks": looks[:MOST]})


@require_GET
@requires(Permission.DECIDE)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """One case as it was when it was decided: its facts and why it needed people, and nothing of what came of it."""
    return _page(request, pk)


@require_POST
@requires(Permission.DECIDE)
def answer(request: OpsRequest, pk: int) -> HttpResponse:
    """Say how one would have decided; the next one opens."""
    look = get_object_or_404(SecondOpinion.objects.visible_to(request.membership), pk=pk)
    form = SecondOpinionForm(request.POST, codes=_codes(look))
    if not form.is_valid():
        return _page(request, pk, form=form, status=422)
    try:
        done = second_opinions.answer(look.pk, by=request.user, **form.cleaned_data)
    except DomainError as refused:
        return _page(request, pk, refusal=str(refused), status=409)
    same = done.state == SecondOpinionState.AGREED
    told = "Decided the same way before." if same else "Decided differently before: managers are told."
    messages.success(request, told)
    return redirect("approvals:second_opinions")


def _codes(look: SecondOpinion) -> list[ReasonCode]:
    codes = ReasonCode.objects.filter(organization_id=look.organization_id, enabled=True)
    return list(codes.order_by("verdict", "position"))


def _page(
    request: OpsRequest, pk: int, *, form: SecondOpinionForm | None = None, refusal: str = "", status: int = 200
) -> HttpResponse:
    rows = SecondOpinion.objects.visible_to(request.membership)
    look = get_object_or_404(rows.select_related("review__case", "review__decision__rule_set__workflow"), pk=pk)
    case, decision = look.review.case, look.review.decision
    context: dict[str, Any] = {
        "look": look,
        "case": case,
        "decision": decision,
        "edition": decision.policy,
        "grounds": grounds_of(decision.facts, decision, currency=case.currency, differences=[]),
        "goods": goods_of(case),
        "captured": _money(decision.facts, "payment.captured", case.currency),
        "refunded": _money(decision.facts, "payment.refunded", case.currency),
        "form": form or SecondOpinionForm(None, codes=_codes(look)),
        "refusal": refusal,
    }
    return render(request, "approvals/second_opinion_page.html", context, status=status)


def _money(facts: Any, name: str, currency: str) -> Money | None:
    minor = value_of(facts, name)
    return Money(minor, currency) if isinstance(minor, int) and currency else None
