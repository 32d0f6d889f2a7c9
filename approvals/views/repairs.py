"""Putting a case right: correcting its data, trying its failed run again."""

from django.http import HttpResponse
from django.views.decorators.http import require_POST

from accounts.access import requires
from accounts.roles import Permission
from approvals.forms import CorrectionForm, RetryForm
from approvals.views.evidence import open_file
from approvals.views.showing import listing_of, show_case, show_or_return
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest
from workflows import cases
from workflows.engine import repairing


@require_POST
@requires(Permission.CORRECT)
def correct(request: OpsRequest, pk: int) -> HttpResponse:
    """Change the request's data; consent given before is void, and everything is gathered and decided again."""
    file, listing = open_file(request.membership, pk), listing_of(request)
    form = CorrectionForm(request.POST, case=file.case)
    if not form.is_valid():
        return show_case(request, file, status=422, listing=listing, correction=form)
    try:
        cases.correct(pk, by=request.user, changes=form.changes, reason=form.cleaned_data["reason"])
    except DomainError as refused:
        fresh = open_file(request.membership, pk)
        return show_case(request, fresh, status=409, listing=listing, correction=form, refusal=str(refused))
    return show_or_return(request, pk, f"Corrected {file.case}: it is gathered and decided again.")


@require_POST
@requires(Permission.REPAIR)
def retry(request: OpsRequest, pk: int) -> HttpResponse:
    """Try the step again at which the run stopped."""
    file, form = open_file(request.membership, pk), RetryForm(request.POST)
    if not form.is_valid() or file.run is None:
        return show_case(request, file, status=422, listing=listing_of(request), retry=form)
    try:
        repairing.retry(file.run.pk, by=request.user, reason=form.cleaned_data["reason"])
    except DomainError as refused:
        fresh = open_file(request.membership, pk)
        return show_case(request, fresh, status=409, listing=listing_of(request), retry=form, refusal=str(refused))
    return show_or_return(request, pk, f"Trying {file.case} again.")
