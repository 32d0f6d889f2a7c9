"""Time off: who is away, who stands in for them, and entering one's own."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from approvals import absences
from approvals.errors import AbsenceRefused
from approvals.forms import TimeOffForm
from approvals.models import Absence
from opsdesk.lib.requests import OpsRequest

# Time off that is over is read in the audit log.
MOST = 100


@require_GET
@requires(Permission.DECIDE)
def index(request: OpsRequest) -> HttpResponse:
    """Who is away now and next, and the form to be so."""
    return _page(request, TimeOffForm(by=request.membership))


def _page(request: OpsRequest, form: TimeOffForm, *, refusal: str = "", status: int = 200) -> HttpResponse:
    member = request.membership
    today = absences.today_in(member.organization)
    rows = Absence.objects.visible_to(member).standing().filter(ends_on__gte=today)
    rows = rows.select_related("user", "delegate").order_by("begins_on", "pk")[:MOST]
    manages = member.may(Permission.MANAGE)
    items = [
        {"absence": row, "now": row.begins_on <= today, "may_call_off": manages or row.user_id == member.user_id}
        for row in rows
    ]
    standing_in = [row for row in rows if row.delegate_id == member.user_id and row.begins_on <= today]
    context = {"form": form, "items": items, "standing_in": standing_in, "refusal": refusal}
    return render(request, "approvals/time_off_page.html", context, status=status)


@require_POST
@requires(Permission.DECIDE)
def agree(request: OpsRequest) -> HttpResponse:
    """Enter days away."""
    form = TimeOffForm(request.POST, by=request.membership)
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        absence = form.agree()
    except AbsenceRefused as refused:
        return _page(request, form, refusal=str(refused), status=409)
    messages.success(request, f"{absence.user} is away from {absence.begins_on:%-d %b} to {absence.ends_on:%-d %b}.")
    return redirect("approvals:time_off")


@require_POST
@requires(Permission.DECIDE)
def call_off(request: OpsRequest, pk: int) -> HttpResponse:
    """Call time off, now."""
    try:
        absence = absences.call_off(pk, by=request.membership)
    except Absence.DoesNotExist as gone:
        raise Http404("There is no such time off.") from gone
    except AbsenceRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"{absence.user} is no longer away.")
    return redirect("approvals:time_off")
