"""One connection: its operations with breaker and switch, its limits, its maintenance, and what waits for it."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from integrations import breakers, settling, switches, windows
from integrations.forms import OperationForm, SettleForm, SwitchForm, WindowForm
from integrations.models import Action, Connection
from integrations.overview import overview
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import render_page
from opsdesk.lib.requests import OpsRequest

_BREAKER: dict[str, tuple[Callable[..., Any], str]] = {
    "open": (breakers.force_open, "{} is held until somebody lets it go."),
    "closed": (breakers.force_closed, "{} goes out, however its calls fail, until somebody lets go."),
    "release": (breakers.release, "{} is left to its breaker again."),
}


@require_GET
@requires(Permission.SEE_DESK)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """Everything about one connection."""
    return _page(request, pk)


@require_POST
@requires(Permission.CONNECT)
def operate(request: OpsRequest, pk: int) -> HttpResponse:
    """Hold or free one operation's breaker, or turn its kill switch."""
    form = OperationForm(request.POST)
    if not form.is_valid():
        return _page(request, pk, form=form, status=422)
    operation, wish, reason = (form.cleaned_data[name] for name in ("operation", "wish", "reason"))
    if wish in _BREAKER:
        service, words = _BREAKER[wish]
    else:
        words = "{} is switched on." if wish == "on" else "{} is switched off; what is due waits."

        def service(connection_id: int, operation: str, **details: Any) -> Any:
            return switches.switch_operation(connection_id, operation, on=wish == "on", **details)

    return _carry_out(
        request,
        pk,
        lambda connection: service(connection.pk, operation, by=request.user, reason=reason),
        words.format(operation.capitalize()),
    )


@require_POST
@requires(Permission.CONNECT)
def end_maintenance(request: OpsRequest, pk: int) -> HttpResponse:
    """End a maintenance window early, or call it off."""
    form = WindowForm(request.POST)
    if not form.is_valid():
        return _page(request, pk, form=form, status=422)

    def end(connection: Connection) -> None:
        window = get_object_or_404(connection.windows, pk=form.cleaned_data["window"])
        windows.end_early(window.pk, by=request.user, reason=form.cleaned_data["reason"])

    return _carry_out(request, pk, end, "The maintenance is over; what waited goes out.")


@require_POST
@requires(Permission.REPAIR)
def settle(request: OpsRequest, pk: int) -> HttpResponse:
    """Say whether something happened that nobody else can find out."""
    form = SettleForm(request.POST)
    if not form.is_valid():
        return _page(request, pk, form=form, status=422)

    def say(connection: Connection) -> None:
        mine = Action.objects.visible_to(request.membership).filter(connection=connection)
        action = get_object_or_404(mine, pk=form.cleaned_data["action"])
        happened = form.cleaned_data["happened"] == "yes"
        settling.settle(action.pk, happened=happened, by=request.user, reason=form.cleaned_data["reason"])

    return _carry_out(request, pk, say, "What happened is written down; the run goes on.")


def _carry_out(request: OpsRequest, pk: int, service: Callable[[Connection], Any], words: str) -> HttpResponse:
    connection = get_object_or_404(Connection.objects.visible_to(request.membership), pk=pk)
    try:
        service(connection)
    except DomainError as refusal:
        return _page(request, pk, refusal=refusal, status=409)
    messages.success(request, words)
    return redirect("integrations:connection", pk)


def _page(
    request: OpsRequest,
    pk: int,
    *,
    form: SwitchForm | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    rows = Connection.objects.visible_to(request.membership).select_related("organization").defer("secret")
    connection = get_object_or_404(rows, pk=pk)
    context = {
        "connection": connection,
        "overview": overview(connection, request.membership),
        "refusal": refusal or (form.complaint() if form is not None else ""),
        "may_switch": request.membership.may(Permission.CONNECT),
        "may_repair": request.membership.may(Permission.REPAIR),
        "may_plan": request.membership.may(Permission.CONFIGURE),
    }
    page, fragment = "integrations/connection_detail.html", "integrations/_connection_facts.html"
    return render_page(request, page, fragment, context, status=status)
