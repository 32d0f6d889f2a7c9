"""Asking from the page of a case that something it did be taken back."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from accounts.access import requires
from accounts.roles import Permission
from approvals.forms import ReversalForm
from approvals.views.evidence import open_file
from approvals.views.showing import listing_of, show_case, show_or_return
from integrations.models import Action
from integrations.reversing import services
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest


@require_POST
@requires(Permission.ASK)
def reverse(request: OpsRequest, pk: int) -> HttpResponse:
    """Open the case that takes one action of this case back, or asks its money back."""
    file, listing = open_file(request.membership, pk), listing_of(request)
    form = ReversalForm(request.POST)
    if not form.is_valid():
        return show_case(request, file, status=422, listing=listing, reversing=form)
    wish = form.cleaned_data
    action = get_object_or_404(Action.objects.visible_to(request.membership), pk=wish["action"], case_id=pk)
    try:
        reversal = services.ask(action.pk, way=wish["way"], by=request.user, reason=wish["reason"])
    except DomainError as refused:
        fresh = open_file(request.membership, pk)
        return show_case(request, fresh, status=409, listing=listing, reversing=form, refusal=str(refused))
    return show_or_return(request, pk, f"{reversal.case} asks for it: somebody else has to agree.")
