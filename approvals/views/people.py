"""How people decide, for managers: a coaching view, and look-alike cases that were decided differently."""

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from approvals import lookalikes, second_opinions
from approvals.coaching import PERIODS, Coaching
from opsdesk.lib.paging import with_query
from opsdesk.lib.requests import OpsRequest

_PAGES = {"approvals:coaching": "Coaching", "approvals:consistency": "Consistency"}
_USUAL_PERIOD = 28


@require_GET
@requires(Permission.MANAGE)
def coaching(request: OpsRequest) -> HttpResponse:
    """Everybody who decides, by name, in the period of `?days=`; `?person=` shows verdicts that did not stand."""
    days = next((days for days in PERIODS if str(days) == request.GET.get("days")), _USUAL_PERIOD)
    found = Coaching(request.membership, days)
    person = next((work for work in found.people if str(work.user.pk) == request.GET.get("person")), None)
    rows = [(work, with_query(request, person=work.user.pk)) for work in found.people]
    context = {
        "pages": pages(request),
        "periods": [
            {"label": f"{each} days", "url": with_query(request, days=each), "current": each == days}
            for each in PERIODS
        ],
        "coaching": found,
        "rows": rows,
        "person": person,
        "overturned": found.overturned_of(person.user.pk) if person is not None else [],
    }
    return render(request, "approvals/coaching_page.html", context)


@require_GET
@requires(Permission.MANAGE)
def consistency(request: OpsRequest) -> HttpResponse:
    """Pairs of cases that look alike and were decided differently."""
    context = {
        "pages": pages(request),
        "pairs": lookalikes.pairs(request.membership),
        "agreement": second_opinions.agreement(request.membership),
        "disagreements": second_opinions.disagreements(request.membership),
        "days": lookalikes.LOOKED_BACK.days,
    }
    return render(request, "approvals/consistency_page.html", context)


def pages(request: OpsRequest) -> list[dict[str, object]]:
    """The pages about people, one of them the current one."""
    return [
        {"label": label, "url": reverse(name), "current": request.path == reverse(name)}
        for name, label in _PAGES.items()
    ]
