"""Failures: groups of runs that one cause stopped, and one of them with its runs."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.models import Membership
from accounts.roles import Permission
from accounts.veils import unveiled
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import render_page
from opsdesk.lib.money import Money
from opsdesk.lib.requests import OpsRequest
from workflows import failures, replaying
from workflows.forms import HandOverForm, IgnoreForm, ReasonForm, ReplayForm
from workflows.models import Failure, FailureItem, Replay
from workflows.states import FailureState, ReplayState, RunState

SHOWN_GROUPS = 100
SHOWN_ITEMS = 50
SHOWN_REPAIRED = 20
_STOPPED = Q(items__repaired_at=None, items__run__state=RunState.FAILED)


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """The open failures, or with `?state=` the ignored or the closed ones; the newest one opened beside them."""
    return show_page(request, view=request.GET.get("state", ""))


@require_GET
@requires(Permission.SEE_DESK)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """One failure beside the others."""
    return show_page(request, pk=pk)


def show_page(
    request: OpsRequest,
    *,
    pk: int | None = None,
    view: str = "",
    forms: Mapping[str, Form] | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page of the failures, with one of them opened; `forms` are those that were refused."""
    visible = Failure.objects.visible_to(request.membership).select_related("owner")
    visible = visible.annotate(stopped=Count("items", filter=_STOPPED))
    chosen = get_object_or_404(visible, pk=pk) if pk is not None else None
    view = _view_of(chosen) if chosen is not None else view
    listed = {"resolved": visible.filter(state=FailureState.RESOLVED), "ignored": visible.ignored()}
    groups = list(listed.get(view, visible.pressing()).order_by("-last_at", "-pk")[:SHOWN_GROUPS])
    chosen = chosen or (groups[0] if groups else None)
    context = {
        "groups": groups,
        "chosen": chosen,
        "stopped": sum(group.stopped for group in groups),
        "views": tabs(view if view in listed else "open"),
        "view": view,
        "reason_form": ReasonForm(),
        "ignore_form": IgnoreForm(auto_id="ignore-%s"),
        "hand_over_form": HandOverForm(people=colleagues(chosen), auto_id="hand-over-%s") if chosen else None,
        "replay_form": ReplayForm(auto_id="replay-%s", may_correct=may_correct(request)),
        "refusal": refusal,
        "may_repair": request.membership.may(Permission.REPAIR),
        **(_details(chosen, request.membership) if chosen is not None else {}),
        **(forms or {}),
    }
    page = "workflows/failure_list.html"
    fragment = "workflows/_failure_detail.html" if chosen is not None else page
    return render_page(request, page, fragment, context, status=status)


def colleagues(failure: Failure) -> QuerySet[Membership]:
    """Those a failure can be given to: whoever may repair it and has it not yet."""
    return failures.repairers(failure.organization_id).exclude(user=failure.owner_id)


def may_correct(request: OpsRequest) -> bool:
    """Whether the person may change what requests say."""
    return request.membership.may(Permission.CORRECT)


def _view_of(failure: Failure) -> str:
    if failure.state == FailureState.RESOLVED:
        return "resolved"
    return "ignored" if failure.ignored_until and failure.ignored_until > clock.now() else "open"


def _details(failure: Any, member: Membership) -> dict[str, Any]:
    waiting = unveiled(failures.standing(failure.pk), member, "run__case")
    repaired = unveiled(FailureItem.objects.filter(failure=failure, repaired_at__isnull=False), member, "run__case")
    replay = Replay.objects.filter(failure=failure).select_related("by", "run").order_by("-pk").first()
    return {
        "items": waiting.select_related("run", "run__case")[:SHOWN_ITEMS],
        "repaired": repaired.select_related("run", "run__case").order_by("-repaired_at", "-pk")[:SHOWN_REPAIRED],
        "sums": sums(waiting),
        "counts": [(count, words_of(count, failure.stopped)) for count in replaying.rungs(failure)],
        "replay": replay,
        "replaying": replay is not None and replay.state == ReplayState.RUNNING,
        "ignored": _view_of(failure) == "ignored",
    }


def words_of(count: int, stopped: int) -> str:
    """The words of a rung's button."""
    return f"Replay all {count}" if count == stopped and count > 1 else f"Replay {count}"


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


def tabs(current: str) -> list[dict[str, object]]:
    """The views of what went wrong."""
    listed = reverse("workflows:failures")
    return [
        {"label": "Open", "url": listed, "current": current == "open"},
        {"label": "Ignored", "url": f"{listed}?state=ignored", "current": current == "ignored"},
        {"label": "Resolved", "url": f"{listed}?state=resolved", "current": current == "resolved"},
        {"label": "Quarantined events", "url": reverse("workflows:quarantine"), "current": current == "quarantine"},
    ]
