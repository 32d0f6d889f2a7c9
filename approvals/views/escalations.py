"""What is late or stuck, who carries what, and handing work to somebody else."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import trigger_client_event

from accounts.access import requires
from accounts.roles import Permission
from approvals import services, tries
from approvals.forms import ReassignForm
from approvals.models import Setback
from approvals.views.deciding import review_of
from approvals.views.showing import answer
from approvals.views.workload import Board
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import render_page, wants_fragment
from opsdesk.lib.requests import OpsRequest


@require_GET
@requires(Permission.MANAGE)
def index(request: OpsRequest) -> HttpResponse:
    """The board of everything that is late, about to be, escalated or blocked."""
    board = Board(request.membership)
    return render_page(request, "approvals/escalations_page.html", "approvals/_escalations.html", {"board": board})


@require_GET
@requires(Permission.MANAGE)
def news(request: OpsRequest) -> HttpResponse:
    """Whether the board has changed since it was shown; it is offered, so that no row moves under the pointer."""
    changed = Board(request.membership).stamp != request.GET.get("stamp", "")
    return render_page(
        request, "approvals/_escalations_news.html", "approvals/_escalations_news.html", {"changed": changed}
    )


@require_POST
@requires(Permission.MANAGE)
def reassign(request: OpsRequest, pk: int) -> HttpResponse:
    """Give an open review to somebody else who may decide it."""
    review, status, refusal = review_of(request, pk), 200, ""
    form = ReassignForm(request.POST, review=review)
    if form.is_valid():
        try:
            done = services.reassign(review.pk, to=form.cleaned_data["to"], by=request.user)
            said = f"{done.assignee} has {done.case} now."
        except DomainError as refused:
            status, refusal = 409, f"{review.case} stays where it is. {refused}"
    else:
        status, refusal = 422, f"Choose who gets {review.case}."
    if not wants_fragment(request):
        (messages.error if refusal else messages.success)(request, refusal or said)
        return redirect("approvals:escalations")
    context = {"board": Board(request.membership), "refusal": refusal, "refused_case": pk if refusal else None}
    response = answer(request, "approvals/_escalations.html", context, status=status)
    return trigger_client_event(response, "announce", {"text": refusal or said})


@require_POST
@requires(Permission.MANAGE)
def resume_timer(request: OpsRequest, pk: int) -> HttpResponse:
    """Let a timer that broke too often go on; the board of what is stalled shows such timers, and is shown again."""
    setback = get_object_or_404(Setback.objects.visible_to(request.membership).select_related("review__case"), pk=pk)
    try:
        tries.go_on(setback.pk, by=request.user)
    except DomainError as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"{setback.review.case} goes on.")
    return redirect("stalled")
