"""The breach forecast of a team's queue for the rest of the day, and what would avoid it."""

from typing import Any

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from approvals import forecasting, levers
from approvals.views.forecast_chart import draw
from opsdesk.lib.htmx import render_page
from opsdesk.lib.paging import with_query
from opsdesk.lib.requests import OpsRequest


@require_GET
@requires(Permission.MANAGE)
def index(request: OpsRequest) -> HttpResponse:
    """The queue that `?team=` names, else the first one; `?lever=` is drawn beside the day as it goes."""
    member = request.membership
    queues = forecasting.queues(member)
    queue = next((each for each in queues if each.team.slug == request.GET.get("team")), queues[0] if queues else None)
    context: dict[str, Any] = {
        "queue": queue,
        "teams": _teams(request, queues, queue),
        "may_configure": member.may(Permission.CONFIGURE),
    }
    if queue is not None:
        measured = forecasting.measure(queue, member.organization)
        context["measured"] = measured
        if measured.day.hours:
            found = levers.forecast(measured, queues, member.organization.currency)
            chosen = next((each for each in found.levers if each.key == request.GET.get("lever")), found.levers[0])
            context |= {
                "forecast": found,
                "chosen": chosen,
                "chart": draw(found, chosen),
                "levers": [(each, with_query(request, lever=each.key)) for each in found.levers],
            }
    return render_page(request, "approvals/forecast_page.html", "approvals/_forecast.html", context)


def _teams(
    request: OpsRequest, queues: list[forecasting.Queue], queue: forecasting.Queue | None
) -> list[dict[str, object]]:
    return [
        {"label": each.team.name, "url": with_query(request, team=each.team.slug, lever=None), "current": each is queue}
        for each in queues
    ]
