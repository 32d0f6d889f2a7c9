"""The stalled page: what waits too long, whose it is, and the one thing that helps."""

from collections.abc import Sequence
from dataclasses import replace

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib import clock
from opsdesk.lib.htmx import render_page
from opsdesk.lib.paging import with_query
from opsdesk.lib.requests import OpsRequest
from opsdesk.screens import stalls
from workflows.waits import Look


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """What waits too long, or with `?show=all` all that waits; `?kind=` and `?owner=` narrow it."""
    everything = request.GET.get("show") == "all"
    look = Look(request.membership, clock.now(), everything)
    found = stalls.groups(look)
    owners = stalls.owners(found)
    owner = next((key for key, _ in owners if key == request.GET.get("owner")), "")
    groups = [replace(group, rows=_owned(group.rows, owner)) for group in found] if owner else found
    groups = [group for group in groups if group.rows]
    kind = next((group.kind.key for group in groups if group.kind.key == request.GET.get("kind")), "")
    context = {
        "groups": [group for group in groups if kind in ("", group.kind.key)],
        "chips": _chips(request, groups, kind),
        "views": [
            {"label": "Too long", "url": with_query(request, show=None, kind=None), "current": not everything},
            {"label": "All that waits", "url": with_query(request, show="all", kind=None), "current": everything},
        ],
        "everything": everything,
        "kind": kind,
        "owners": owners,
        "owner": owner,
        "total": sum(len(group.rows) for group in groups),
        "anything": bool(found),
        "now": look.now,
        "most": stalls.MOST,
    }
    return render_page(request, "opsdesk/stalled.html", "opsdesk/_stalled_board.html", context)


def _owned(rows: Sequence[stalls.Row], owner: str) -> list[stalls.Row]:
    return [row for row in rows if row.owner_key == owner]


def _chips(request: OpsRequest, groups: Sequence[stalls.Group], kind: str) -> list[dict[str, object]]:
    everything = {"label": "All", "count": sum(len(group.rows) for group in groups)}
    chips = [{**everything, "url": with_query(request, kind=None), "current": not kind}]
    for group in groups:
        key = group.kind.key
        url, count = with_query(request, kind=key), len(group.rows)
        chips.append({"label": group.kind.label, "count": count, "url": url, "current": kind == key})
    return chips
