"""The conversation about a case: comments, and who is told by them."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from accounts.access import requires
from accounts.roles import Permission
from approvals import commenting
from approvals.errors import NothingSaid
from approvals.views.evidence import open_file
from approvals.views.showing import listing_of, show_case, show_or_return
from opsdesk.lib.requests import OpsRequest
from workflows.models import Case


@require_POST
@requires(Permission.COMMENT)
def comment(request: OpsRequest, pk: int) -> HttpResponse:
    """Say something about the case; what was refused stays in its field."""
    case, text = get_object_or_404(Case.objects.visible_to(request.membership), pk=pk), request.POST.get("text", "")
    try:
        commenting.comment(case.pk, by=request.user, text=text)
    except NothingSaid as refused:
        file = open_file(request.membership, pk)
        typed = {"comment": text, "comment_refused": str(refused)}
        return show_case(request, file, status=422, listing=listing_of(request), **typed)
    return show_or_return(request, pk, "Commented.")
