"""Every kill switch of the organization on one page."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from integrations import switches
from integrations.forms import TurnForm
from integrations.models import Connection, OperationSwitch
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest
from workflows.models import Workflow


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """The switches of organization, workflows, connections and operations, and how they stand."""
    return _page(request)


@require_POST
@requires(Permission.CONNECT)
def turn_organization(request: OpsRequest) -> HttpResponse:
    """Stop or go on with everything."""
    return _turn(request, switches.switch_organization, request.membership.organization_id)


@require_POST
@requires(Permission.CONNECT)
def turn_workflow(request: OpsRequest, pk: int) -> HttpResponse:
    """Stop or go on with one workflow."""
    workflow = get_object_or_404(Workflow, organization_id=request.membership.organization_id, pk=pk)
    return _turn(request, switches.switch_workflow, workflow.pk)


def _turn(request: OpsRequest, service: Callable[..., Any], pk: int) -> HttpResponse:
    form = TurnForm(request.POST)
    if not form.is_valid():
        return _page(request, refusal=form.complaint(), status=422)
    on = form.cleaned_data["wish"] == "on"
    try:
        row = service(pk, on=on, by=request.user, reason=form.cleaned_data["reason"])
    except DomainError as refusal:
        return _page(request, refusal=str(refusal), status=409)
    messages.success(request, f"{row} is switched {'on' if on else 'off'}.")
    return redirect("integrations:switches")


def _page(request: OpsRequest, *, refusal: str = "", status: int = 200) -> HttpResponse:
    membership = request.membership
    context = {
        "organization": membership.organization,
        "workflows": Workflow.objects.filter(organization_id=membership.organization_id).order_by("name"),
        "connections": Connection.objects.visible_to(membership).exclude(base_url="").defer("secret").order_by("name"),
        "operations": OperationSwitch.objects.visible_to(membership).select_related("connection", "by"),
        "refusal": refusal,
        "may_switch": membership.may(Permission.CONNECT),
    }
    return render(request, "integrations/switch_list.html", context, status=status)
