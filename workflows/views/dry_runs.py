"""What the rules of a draft would have decided: progress, sums, and the cases it concerns."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib.htmx import render_page
from opsdesk.lib.money import Money
from opsdesk.lib.paging import newest_first, with_query
from opsdesk.lib.requests import OpsRequest
from workflows.dry_runs import content_of
from workflows.models import DryRun
from workflows.states import DryRunState, Tier


@require_GET
@requires(Permission.CONFIGURE)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """One dry run: how far it is, what would change in sum, and each decision that would be another."""
    dry_runs = DryRun.objects.visible_to(request.membership).select_related("rule_set__workflow", "by")
    dry_run = get_object_or_404(dry_runs, pk=pk)
    others = dry_run.others.select_related("case")
    move = request.GET.get("move", "")
    before, _, after = move.partition(">")
    if before in Tier.values and after in Tier.values:
        others = others.filter(before=before, after=after)
    context = {
        "dry_run": dry_run,
        "live": dry_run.state == DryRunState.RUNNING,
        "page": newest_first(others, request, key="case_id"),
        "views": _views(request, dry_run, move),
        "money": _money(dry_run),
        "stale": content_of(dry_run.rule_set) != dry_run.content,
    }
    return render_page(request, "workflows/dry_run_detail.html", "workflows/_dry_run_found.html", context)


def _views(request: OpsRequest, dry_run: DryRun, chosen: str) -> list[dict[str, Any]]:
    """All of them, and one view for each way from tier to tier."""
    found = [
        {
            "url": with_query(request, move=None, before=None),
            "label": "All",
            "count": dry_run.changed,
            "current": not chosen,
        }
    ]
    for move, count in sorted(dry_run.moves.items()):
        before, after = (Tier(value).label for value in move.split(">"))
        url = with_query(request, move=move, before=None)
        found.append({"url": url, "label": f"{before} to {after}", "count": count, "current": move == chosen})
    return found


def _money(dry_run: DryRun) -> list[tuple[Money, Money]]:
    """For each currency what would have needed less consent, and what more."""
    return [(Money(sums[0], currency), Money(sums[1], currency)) for currency, sums in sorted(dry_run.money.items())]
