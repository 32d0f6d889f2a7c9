"""The connections page: how the outside is doing, and the switch that stops sending."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from integrations import switches
from integrations.forms import SwitchForm
from integrations.health import endpoints, healths
from integrations.models import Call, Connection
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import render_page
from opsdesk.lib.requests import OpsRequest

SHOWN_CALLS = 50


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """Every connection, or with `?connection=` the calls of one."""
    return _page(request)


@require_POST
@requires(Permission.CONNECT)
def pause(request: OpsRequest, pk: int) -> HttpResponse:
    """Stop sending through a connection."""
    return _switch(request, pk, switches.pause, "Sending through {} is paused; what is due waits.")


@require_POST
@requires(Permission.CONNECT)
def resume(request: OpsRequest, pk: int) -> HttpResponse:
    """Send through it again."""
    return _switch(request, pk, switches.resume, "{} sends again, what is most urgent first.")


def _switch(request: OpsRequest, pk: int, service: Callable[..., Connection], words: str) -> HttpResponse:
    connection = get_object_or_404(Connection.objects.visible_to(request.membership), pk=pk)
    form = SwitchForm(request.POST)
    if not form.is_valid():
        return _page(request, form=form, tried=connection.pk, status=422)
    try:
        service(connection.pk, by=request.user, reason=form.cleaned_data["reason"])
    except DomainError as refusal:
        return _page(request, refusal=refusal, status=409)
    messages.success(request, words.format(connection))
    return redirect("integrations:connections")


def _page(
    request: OpsRequest,
    *,
    form: SwitchForm | None = None,
    tried: int | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page, or only how things stand for the poll that refreshes it."""
    found = healths(request.membership)
    named = request.GET.get("connection", "")
    chosen = next((health.connection for health in found if health.connection.slug == named), None)
    calls = Call.objects.visible_to(request.membership).select_related("connection", "action")
    if chosen is not None:
        calls = calls.filter(connection=chosen)
    context = {
        "healths": found,
        "endpoints": endpoints(request.membership),
        "calls": calls.order_by("-pk")[:SHOWN_CALLS],
        "chosen": chosen,
        "form": form or SwitchForm(),
        "tried": tried,
        "refusal": refusal,
        "may_switch": request.membership.may(Permission.CONNECT),
    }
    page, fragment = "integrations/connection_list.html", "integrations/_connection_state.html"
    return render_page(request, page, fragment, context, status=status)
