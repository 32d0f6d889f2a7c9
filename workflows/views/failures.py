"""Failures: groups of runs that one cause stopped, who mends it, and trying them again: one, five, all."""

from typing import Any

from django.contrib import messages
from django.db.models import Count, F, Q, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib.errors import DomainError
from opsdesk.lib.money import Money
from opsdesk.lib.requests import OpsRequest
from workflows import failures
from workflows.forms import ReasonForm, RetrySomeForm
from workflows.models import Failure, FailureItem
from workflows.states import FailureState, RunState

SHOWN_GROUPS = 100
SHOWN_ITEMS = 50
SHOWN_REPAIRED = 20
_STOPPED = Q(items__repaired_at=None, items__run__state=RunState.FAILED)


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """The open failures, or with `?state=resolved` the closed ones; the newest one opened beside them."""
    return _page(request, resolved=request.GET.get("state") == FailureState.RESOLVED)


@require_GET
@requires(Permission.SEE_DESK)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """One failure beside the others."""
    return _page(request, pk=pk)


@require_POST
@requires(Permission.REPAIR)
def acknowledge(request: OpsRequest, pk: int) -> HttpResponse:
    """Take a failure on."""
    failure = _visible(request, pk)
    try:
        failures.acknowledge(failure.pk, by=request.user)
    except DomainError as refusal:
        return _page(request, pk=pk, refusal=refusal, status=409)
    messages.success(request, f"“{failure.message}” is yours.")
    return redirect("workflows:failure", pk)


@require_POST
@requires(Permission.REPAIR)
def resolve(request: OpsRequest, pk: int) -> HttpResponse:
    """Close a failure that stops nothing any more."""
    failure = _visible(request, pk)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return _page(request, pk=pk, form=form, status=422)
    try:
        failures.resolve(failure.pk, by=request.user, reason=form.cleaned_data["reason"])
    except DomainError as refusal:
        return _page(request, pk=pk, form=form, refusal=refusal, status=409)
    messages.success(request, f"“{failure.message}” is resolved.")
    return redirect("workflows:failures")


@require_POST
@requires(Permission.REPAIR)
def retry(request: OpsRequest, pk: int) -> HttpResponse:
    """Try as many runs again as the button said."""
    failure = _visible(request, pk)
    form = RetrySomeForm(request.POST)
    if not form.is_valid():
        return _page(request, pk=pk, form=form, status=422)
    tried = failures.retry_some(
        failure.pk, form.cleaned_data["count"], by=request.user, reason=form.cleaned_data["reason"]
    )
    if tried.done:
        messages.success(request, f"{tried.done} {'run goes' if tried.done == 1 else 'runs go'} on.")
    if tried.refused:
        messages.warning(request, f"{len(tried.refused)} not tried. {' '.join(tried.refused[:5])}")
    if not tried.done and not tried.refused:
        messages.info(request, "No run stands under this failure any more.")
    return redirect("workflows:failure", pk)


def _visible(request: OpsRequest, pk: int) -> Failure:
    return get_object_or_404(Failure.objects.visible_to(request.membership), pk=pk)


def _page(
    request: OpsRequest,
    *,
    pk: int | None = None,
    resolved: bool = False,
    form: ReasonForm | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    visible = Failure.objects.visible_to(request.membership).select_related("owner")
    visible = visible.annotate(stopped=Count("items", filter=_STOPPED))
    chosen = get_object_or_404(visible, pk=pk) if pk is not None else None
    resolved = resolved or (chosen is not None and chosen.state == FailureState.RESOLVED)
    listed = visible.filter(state=FailureState.RESOLVED) if resolved else visible.unresolved()
    groups = list(listed.order_by("-last_at", "-pk")[:SHOWN_GROUPS])
    chosen = chosen or (groups[0] if groups else None)
    context = {
        "groups": groups,
        "chosen": chosen,
        "stopped": sum(group.stopped for group in groups),
        "views": tabs("resolved" if resolved else "open"),
        "resolved": resolved,
        "form": form or ReasonForm(),
        "refusal": refusal,
        "may_repair": request.membership.may(Permission.REPAIR),
        **(_details(chosen) if chosen is not None else {}),
    }
    return render(request, "workflows/failure_list.html", context, status=status)


def _details(failure: Any) -> dict[str, Any]:
    waiting = failures.standing(failure.pk)
    repaired = FailureItem.objects.filter(failure=failure, repaired_at__isnull=False)
    return {
        "items": waiting.select_related("run", "run__case")[:SHOWN_ITEMS],
        "repaired": repaired.select_related("run", "run__case").order_by("-repaired_at", "-pk")[:SHOWN_REPAIRED],
        "sums": sums(waiting),
        "counts": counts_to_try(failure.stopped),
    }


def sums(items: QuerySet[FailureItem]) -> list[Money]:
    """What the stopped cases ask for, one amount a currency."""
    rows = (
        items.order_by()
        .filter(run__case__amount_minor__isnull=False)
        .values(currency=F("run__case__currency"))
        .annotate(minor=Sum("run__case__amount_minor"))
        .order_by("currency")
    )
    return [Money(int(row["minor"]), row["currency"]) for row in rows]


def counts_to_try(stopped: int) -> list[tuple[int, str]]:
    """The rungs of the ladder: one, then five, then all, each with the words of its button."""
    most = min(stopped, failures.MOST_AT_ONCE)
    rungs = [(1, "Retry 1")] if stopped else []
    if stopped > 5:
        rungs.append((5, "Retry 5"))
    if most > 1:
        rungs.append((most, f"Retry all {most}" if most == stopped else f"Retry {most} of {stopped}"))
    return rungs


def tabs(current: str) -> list[dict[str, object]]:
    """The three views of what went wrong."""
    listed = reverse("workflows:failures")
    return [
        {"label": "Open", "url": listed, "current": current == "open"},
        {"label": "Resolved", "url": f"{listed}?state=resolved", "current": current == "resolved"},
        {"label": "Quarantined events", "url": reverse("workflows:quarantine"), "current": current == "quarantine"},
    ]
