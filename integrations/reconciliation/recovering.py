"""The page of recovery mode: why nothing is sent, what the gateways did meanwhile, and the signatures that end it."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from integrations.models import Break, Reconciliation
from integrations.reconciliation import signing
from integrations.reconciliation.breaks import SUGGESTIONS
from integrations.reconciliation.forms import DeclareForm, WhyForm
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest
from workflows.models import Recovery
from workflows.recovery import mode

SHOWN_BREAKS = 200
SHOWN_PAST = 20


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """The recovery under way with its reports, or that there is none; and those of before."""
    return _page(request)


@require_POST
@requires(Permission.RECOVER)
def declare(request: OpsRequest) -> HttpResponse:
    """Stop sending because the database was put back."""
    form = DeclareForm(request.POST)
    if not form.is_valid():
        return _page(request, declared=form, status=422)
    try:
        mode.declare(
            request.membership.organization_id,
            by=request.user,
            reason=form.cleaned_data["reason"],
            since=form.cleaned_data["since"],
        )
    except DomainError as refusal:
        return _page(request, refusal=refusal, status=409)
    messages.success(request, "Nothing is sent until the reconciliation has been read and signed.")
    return redirect("integrations:recovery")


@require_POST
@requires(Permission.RECOVER)
def sign(request: OpsRequest, pk: int) -> HttpResponse:
    """Sign the reports of a recovery."""
    recovery = get_object_or_404(Recovery.objects.visible_to(request.membership), pk=pk)
    form = WhyForm(request.POST)
    if not form.is_valid():
        return _page(request, signed=form, status=422)
    try:
        recovery = signing.sign(recovery.pk, by=request.user, reason=form.cleaned_data["reason"])
    except DomainError as refusal:
        return _page(request, refusal=refusal, status=409)
    if recovery.ended_at is not None:
        messages.success(request, "The recovery has ended: what waited is sent now.")
    else:
        messages.info(request, "You have signed. A second person reads it, too, before anything is sent.")
    return redirect("integrations:recovery")


def _page(
    request: OpsRequest,
    *,
    declared: DeclareForm | None = None,
    signed: WhyForm | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    rows = (
        Recovery.objects.visible_to(request.membership).select_related("begun_by").prefetch_related("signatures__user")
    )
    recovery = rows.open().first()
    reports = Reconciliation.objects.filter(recovery=recovery).select_related("connection") if recovery else []
    ours = Break.objects.visible_to(request.membership)
    found = ours.filter(found_in__recovery=recovery) if recovery else ours.none()
    breaks = list(found.select_related("connection", "case", "payment").order_by("-state", "pk")[:SHOWN_BREAKS])
    for each in breaks:
        each.suggestion = SUGGESTIONS[each.kind]  # type: ignore[attr-defined]
    context = {
        "recovery": recovery,
        "unread": signing.unread(recovery) if recovery else [],
        "reports": reports,
        "breaks": breaks,
        "past": rows.exclude(ended_at=None).order_by("-pk")[:SHOWN_PAST],
        "declare_form": declared or DeclareForm(),
        "sign_form": signed or WhyForm(),
        "refusal": refusal,
        "may_recover": request.membership.may(Permission.RECOVER),
        "may_settle": request.membership.may(Permission.REPAIR),
    }
    return render(request, "integrations/recovery.html", context, status=status)
