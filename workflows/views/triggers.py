"""Triggers: everything that begins runs, when it last did, and when it would next."""

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib.htmx import render_page
from opsdesk.lib.requests import OpsRequest
from workflows.triggers import showing


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """One line for each way in which a run of the organization begins."""
    context = {"rows": showing.rows(request.membership)}
    return render_page(request, "workflows/trigger_list.html", "workflows/_trigger_rows.html", context)
