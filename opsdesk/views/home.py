"""Home: what waits, what is late, what leaves, what failed, and what the desk did by itself today."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import signed_in
from accounts.roles import Permission
from integrations.health import healths
from opsdesk.lib import clock
from opsdesk.lib.htmx import render_page
from opsdesk.lib.requests import OpsRequest
from opsdesk.navigation import may_open
from opsdesk.screens import piles, today


@require_GET
@signed_in
def index(request: OpsRequest) -> HttpResponse:
    """The first page after signing in. Somebody without an organization is told so instead of being refused."""
    member = request.membership
    if member is None or not member.may(Permission.SEE_DESK):
        return render(request, "opsdesk/home_outside.html")
    found = piles.reviews(member)
    health = healths(member)
    doubt = sum(each.in_doubt for each in health)
    context = {
        "now": clock.now(),
        "alerts": piles.alerts(member),
        "reviews": found,
        "failures": piles.failures(member),
        "cases": piles.open_cases(member),
        "today": today.look(member),
        "healths": health,
        "doubt": doubt,
        "doubt_words": f"{doubt} not certain yet",
        "may_decide": member.may(Permission.DECIDE),
        "may_leaving": may_open(request, "approvals:leaving"),
    }
    return render_page(request, "opsdesk/home.html", "opsdesk/_home_desk.html", context)
