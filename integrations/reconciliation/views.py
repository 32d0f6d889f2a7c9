"""The pages about reconciliations: what differs, each report, and asking for a new one."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from integrations.models import Break, Connection, Reconciliation
from integrations.reconciliation import asking, settling
from integrations.reconciliation.breaks import REMEDIES, SUGGESTIONS
from integrations.reconciliation.filters import BreakFilter
from integrations.reconciliation.forms import SettleForm
from integrations.states import BreakState, Remedy
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import render_page
from opsdesk.lib.paging import newest_first
from opsdesk.lib.requests import OpsRequest

SHOWN_RUNS = 20
SHOWN_BREAKS = 200


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """The differences, newest first, and the last reports."""
    return _index(request)


@require_GET
@requires(Permission.SEE_DESK)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """One report: what was compared, and every difference it saw."""
    rows = Reconciliation.objects.visible_to(request.membership).select_related("connection", "asked_by", "recovery")
    row = get_object_or_404(rows, pk=pk)
    found = _breaks(request).filter(seen_in=row) | _breaks(request).filter(found_in=row)
    context = {
        "row": row,
        "breaks": [_dressed(each) for each in found.order_by("state", "pk")[:SHOWN_BREAKS]],
        "live": row.ended_at is None,
        "may_settle": request.membership.may(Permission.REPAIR),
    }
    return render(request, "integrations/reconciliation_detail.html", context)


@require_GET
@requires(Permission.SEE_DESK)
def difference(request: OpsRequest, pk: int) -> HttpResponse:
    """One difference: both sides, what is suggested, and what can be done."""
    return _difference(request, pk)


@require_POST
@requires(Permission.REPAIR)
def ask(request: OpsRequest, pk: int) -> HttpResponse:
    """Compare a connection now."""
    connection = get_object_or_404(Connection.objects.visible_to(request.membership), pk=pk)
    try:
        row = asking.ask(connection.pk, by=request.user)
    except DomainError as refusal:
        return _index(request, refusal=refusal, status=409)
    messages.success(request, f"{connection} is being compared; the report fills by itself.")
    return redirect("integrations:reconciliation", row.pk)


@require_POST
@requires(Permission.REPAIR)
def settle(request: OpsRequest, pk: int) -> HttpResponse:
    """Close a difference by what a person decided about it."""
    found = get_object_or_404(_breaks(request), pk=pk)
    form = SettleForm(request.POST, remedies=REMEDIES[found.kind], asks_case=found.case_id is None)
    if not form.is_valid():
        return _difference(request, pk, form=form, status=422)
    try:
        settling.settle(
            pk,
            by=request.user,
            remedy=Remedy(form.cleaned_data["remedy"]),
            reason=form.cleaned_data["reason"],
            case_id=form.cleaned_data.get("case"),
        )
    except DomainError as refusal:
        return _difference(request, pk, form=form, refusal=refusal, status=409)
    messages.success(request, f"The difference about {found.reference} is settled.")
    return redirect("integrations:reconciliations")


def _breaks(request: OpsRequest) -> Any:
    return Break.objects.visible_to(request.membership).select_related("connection", "case", "payment", "settled_by")


def _dressed(found: Break) -> Break:
    """The row with what is suggested about it."""
    found.suggestion = SUGGESTIONS[found.kind]  # type: ignore[attr-defined]
    return found


def _difference(
    request: OpsRequest,
    pk: int,
    *,
    form: SettleForm | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    found = _dressed(get_object_or_404(_breaks(request).select_related("found_in", "seen_in"), pk=pk))
    context = {
        "found": found,
        "form": form or SettleForm(remedies=REMEDIES[found.kind], asks_case=found.case_id is None),
        "refusal": refusal,
        "may_settle": request.membership.may(Permission.REPAIR) and found.state == BreakState.OPEN,
    }
    return render(request, "integrations/break_detail.html", context, status=status)


def _index(request: OpsRequest, *, refusal: DomainError | None = None, status: int = 200) -> HttpResponse:
    # Without a wish the open ones are shown: they are the work.
    wish = request.GET.copy()
    wish.setdefault("state", BreakState.OPEN)
    chosen = BreakFilter(wish, queryset=_breaks(request), request=request)
    page = newest_first(chosen.qs, request)
    for each in page.rows:
        _dressed(each)
    runs = Reconciliation.objects.visible_to(request.membership).select_related("connection", "asked_by")
    connections = Connection.objects.visible_to(request.membership).order_by("name")
    context = {
        "filter": chosen,
        "page": page,
        "runs": runs.order_by("-pk")[:SHOWN_RUNS],
        "gateways": [connection for connection in connections if asking.can_reconcile(connection)],
        "refusal": refusal,
        "may_settle": request.membership.may(Permission.REPAIR),
    }
    listed, fragment = "integrations/reconciliation_list.html", "integrations/_break_rows.html"
    return render_page(request, listed, fragment, context, status=status)
