"""All cases, in whatever state: the list that is narrowed, saved as a view, and exported."""

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib.htmx import render_page
from opsdesk.lib.paging import newest_first
from opsdesk.lib.requests import OpsRequest
from workflows.filters import CaseFilter
from workflows.models import Case


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """Cases, newest first."""
    cases = Case.objects.visible_to(request.membership).defer("data")
    chosen = CaseFilter(request.GET, queryset=cases, request=request)
    context = {
        "filter": chosen,
        "page": newest_first(chosen.qs, request),
        "filtered": any(chosen.data.get(name) for name in chosen.filters),
    }
    return render_page(request, "opsdesk/case_list.html", "opsdesk/_case_rows.html", context)
