"""Alerts: what the desk says is wrong with itself, who looks after it, and what is over."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib.errors import DomainError
from opsdesk.lib.paging import newest_first
from opsdesk.lib.requests import OpsRequest
from workflows import alerts
from workflows.forms import NoteForm
from workflows.models import Alert

SHOWN = 100


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """The open alerts, the longest standing first; or with `?state=over` the others, the newest first."""
    return _over(request) if request.GET.get("state") == "over" else _page(request)


@require_POST
@requires(Permission.REPAIR)
def acknowledge(request: OpsRequest, pk: int) -> HttpResponse:
    """Say that one looks after an alert."""
    alert = get_object_or_404(Alert.objects.visible_to(request.membership), pk=pk)
    form = _form(alert, request)
    if not form.is_valid():
        return _page(request, refused=form, refused_pk=pk, status=422)
    try:
        alerts.acknowledge(
            pk,
            by=request.user,
            organization_id=request.membership.organization_id,
            note=form.cleaned_data["note"],
        )
    except DomainError as refusal:
        return _page(request, refusal=refusal, status=409)
    messages.success(request, f"You look after “{alerts.title_of(alert.kind)}”.")
    return redirect("workflows:alerts")


def _form(alert: Alert, request: OpsRequest) -> NoteForm:
    return NoteForm(request.POST if request.method == "POST" else None, auto_id=f"alert-{alert.pk}-%s")


def _page(
    request: OpsRequest,
    *,
    refused: NoteForm | None = None,
    refused_pk: int = 0,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    visible = Alert.objects.visible_to(request.membership).open().select_related("acknowledged_by")
    found = list(visible.order_by("since", "pk")[:SHOWN])
    for alert in found:
        alert.title = alerts.title_of(alert.kind)  # type: ignore[attr-defined]
        blank = NoteForm(auto_id=f"alert-{alert.pk}-%s")
        alert.form = refused if refused and alert.pk == refused_pk else blank  # type: ignore[attr-defined]
    context = {
        "alerts": found,
        "unanswered": sum(alert.acknowledged_at is None for alert in found),
        "views": _tabs("open"),
        "refusal": refusal,
        "may_repair": request.membership.may(Permission.REPAIR),
    }
    return render(request, "workflows/alert_list.html", context, status=status)


def _over(request: OpsRequest) -> HttpResponse:
    visible = Alert.objects.visible_to(request.membership).filter(cleared_at__isnull=False)
    page = newest_first(visible.select_related("acknowledged_by"), request)
    for alert in page.rows:
        alert.title = alerts.title_of(alert.kind)
    return render(request, "workflows/alert_history.html", {"page": page, "views": _tabs("over")})


def _tabs(current: str) -> list[dict[str, object]]:
    listed = reverse("workflows:alerts")
    return [
        {"label": "Open", "url": listed, "current": current == "open"},
        {"label": "Over", "url": f"{listed}?state=over", "current": current == "over"},
    ]
