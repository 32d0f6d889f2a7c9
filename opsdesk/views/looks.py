"""Choosing the columns of a list and how close its rows stand."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib.requests import OpsRequest
from opsdesk.lists import looks
from opsdesk.lists.registry import LISTS


@require_POST
@requires(Permission.SEE_DESK)
def choose(request: OpsRequest) -> HttpResponse:
    """Remember it, and show the list again, narrowed as it was."""
    listed = LISTS.get(request.POST.get("page", ""))
    if listed is None or listed.key not in looks.OPTIONAL or not request.membership.may(listed.permission):
        return redirect("home")
    close = request.POST.get("density") == "close"
    looks.choose(listed.key, columns=request.POST.getlist("columns"), close=close, member=request.membership)
    return redirect(listed.url(listed.kept(request.POST.get("query", ""))))
