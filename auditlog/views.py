"""Reading the audit log: who did what, when, and why."""

import json
from collections.abc import Mapping
from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.models import Membership
from accounts.roles import Permission
from auditlog.clicks import together
from auditlog.filters import EntryFilter
from auditlog.models import Change, Entry
from opsdesk.lib.htmx import render_page
from opsdesk.lib.money import EXPONENTS, Money
from opsdesk.lib.paging import newest_first
from opsdesk.lib.requests import OpsRequest
from opsdesk.lib.wording import plain, visible

SHOWN = 60
LONGEST_TOLD = 2_000
# Entries of one request are written together: their keys lie close to each other.
_NEAR = 500


@require_GET
@requires(Permission.READ_AUDIT)
def index(request: OpsRequest) -> HttpResponse:
    """Everything that happened, newest first, what one click did put together."""
    entries = Entry.objects.visible_to(request.membership).newest()
    chosen = EntryFilter(request.GET, queryset=entries, request=request)
    page = newest_first(chosen.qs, request, size=SHOWN, at="at")
    context = {
        "filter": chosen,
        "page": page,
        "clicks": together(page.rows),
        "filtered": any(chosen.data.get(name) for name in chosen.filters),
    }
    return render_page(request, "auditlog/entry_list.html", "auditlog/_entry_rows.html", context)


@require_GET
@requires(Permission.READ_AUDIT)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """One entry with what was before and after, and what else the same click did."""
    ours = Entry.objects.visible_to(request.membership)
    entry = get_object_or_404(ours.select_related("user"), pk=pk)
    same = Q(request_id=entry.request_id) | Q(at=entry.at, case_id=entry.case_id)
    near = ours.newest().filter(same, pk__range=(pk - _NEAR, pk + _NEAR))
    context = {
        "entry": entry,
        "changes": changes(entry),
        "others": near.exclude(pk=pk).order_by("pk"),
        "seen": seen_by_the_database(entry, request.membership),
    }
    return render_page(request, "auditlog/entry_detail.html", "auditlog/_entry_detail.html", context)


def changes(entry: Entry | Change) -> list[dict[str, str | None]]:
    """Before and after of an entry or a row, field by field, in words; None where a side does not name the field."""
    names = [*entry.before, *(name for name in entry.after if name not in entry.before)]
    return [
        {"field": plain(name), "before": _told(entry.before, name), "after": _told(entry.after, name)} for name in names
    ]


def seen_by_the_database(entry: Entry, membership: Membership) -> list[dict[str, Any]]:
    """What the database saw changing in the transaction of an entry, row by row, the first of them."""
    rows = Change.objects.visible_to(membership).behind(entry)[:SHOWN]
    return [{"row": row, "changes": changes(row)} for row in rows]


def _told(side: Mapping[str, Any], name: str) -> str | None:
    value = side.get(name)
    match value:
        case None:
            return None
        case bool():
            return "yes" if value else "no"
        case int() if name == "amount" and side.get("currency") in EXPONENTS:
            return str(Money(value, side["currency"]))
        case int() if name == "amount":
            return f"{value} minor units"
        case str() | int() | float():
            return visible(str(value), at_most=LONGEST_TOLD) if value != "" else "empty"
    return visible(json.dumps(value, ensure_ascii=False), at_most=LONGEST_TOLD)
