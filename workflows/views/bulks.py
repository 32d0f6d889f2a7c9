"""Bulk operations: choose, look at what would be done, start, and watch how far it is."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts import confirming
from accounts.access import requires
from accounts.roles import Permission
from accounts.veils import veiled_cases
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import render_page, wants_fragment
from opsdesk.lib.money import Money
from opsdesk.lib.paging import newest_first, with_query
from opsdesk.lib.requests import OpsRequest
from workflows.bulk import services
from workflows.bulk.registry import Kind, kinds
from workflows.forms import BulkForm
from workflows.models import Bulk, BulkItem
from workflows.states import BULK_FINAL, BulkState

SHOWN = 20  # items on the preview
LOOKED_AT = 500  # items of which the preview says whether they fit
_LARGEST_KEY = 2**63 - 1


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """All bulks, newest first."""
    bulks = Bulk.objects.visible_to(request.membership).exclude(state=BulkState.PREVIEW).select_related("by")
    page = newest_first(bulks, request)
    return render(request, "workflows/bulk_list.html", {"page": page, "rows": [_named(bulk) for bulk in page.rows]})


@require_POST
@requires(Permission.REPAIR)
def begin(request: OpsRequest) -> HttpResponse:
    """Keep what was ticked, or the query of the list, and show what would be done."""
    kind = kinds.get(request.POST.get("kind", ""))
    if kind is None:
        messages.warning(request, "Choose what is to be done.")
        return redirect("workflows:bulks")
    query = QueryDict(request.POST.get("query", ""))
    ticked = [int(key) for key in request.POST.getlist("ticked") if key.isascii() and key.isdigit()]
    selection: dict[str, Any]
    try:
        if request.POST.get("chosen") == "matching":
            subjects, selection = kind.subject.matching(request, query), {"query": query.urlencode()}
        else:
            keys = [key for key in ticked if key <= _LARGEST_KEY]
            subjects, selection = kind.subject.chosen(request, keys), {"ticked": True}
        bulk = services.preview(kind, subjects, selection=selection, member=request.membership)
    except services.NotAllowed as refusal:
        raise PermissionDenied from refusal
    except DomainError as refusal:
        messages.warning(request, str(refusal))
        return redirect(f"{reverse(kind.subject.list_url_name)}?{query.urlencode()}".rstrip("?"))
    return redirect("workflows:bulk", bulk.pk)


@require_GET
@requires(Permission.SEE_DESK)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """One bulk: what would be done, or how far it is and what came of each item."""
    bulk = _visible(request, pk)
    return _preview(request, bulk) if bulk.state == BulkState.PREVIEW else _progress(request, bulk)


@require_POST
@requires(Permission.SEE_DESK)
def start(request: OpsRequest, pk: int) -> HttpResponse:
    """Have it done, for the given reason."""
    bulk = _of_ones_own_kind(request, pk)
    if bulk.state != BulkState.PREVIEW:
        return _progress(request, bulk, refusal="It was started already, or canceled.", status=409)
    form = _form(bulk, request.POST)
    if not form.is_valid():
        return _preview(request, bulk, form=form, status=422)
    asked = _asked_first(request, bulk)
    if asked is not None:
        return asked
    parameters = {name: value for name, value in form.cleaned_data.items() if name != "reason"}
    reason = form.cleaned_data["reason"]
    return _change(
        request, bulk, lambda: services.start(pk, member=request.membership, reason=reason, parameters=parameters)
    )


def _asked_first(request: OpsRequest, bulk: Bulk) -> HttpResponse | None:
    """The page that asks who this is, where all items together are a large sum."""
    sums = [Money(minor, currency) for currency, minor in kinds[bulk.kind].lets_go(bulk).items()]
    if not any(confirming.is_above(request.membership.organization, each) for each in sums):
        return None
    return confirming.asked_first(request, what=f"approve {' and '.join(map(str, sums))} at once")


@require_POST
@requires(Permission.SEE_DESK)
def pause(request: OpsRequest, pk: int) -> HttpResponse:
    """Stop after the item the jobs are at."""
    return _change(request, _of_ones_own_kind(request, pk), lambda: services.pause(pk, member=request.membership))


@require_POST
@requires(Permission.SEE_DESK)
def resume(request: OpsRequest, pk: int) -> HttpResponse:
    """Go on with what is left."""
    return _change(request, _of_ones_own_kind(request, pk), lambda: services.resume(pk, member=request.membership))


@require_POST
@requires(Permission.SEE_DESK)
def cancel(request: OpsRequest, pk: int) -> HttpResponse:
    """Do nothing more of it."""
    return _change(request, _of_ones_own_kind(request, pk), lambda: services.cancel(pk, member=request.membership))


def _visible(request: OpsRequest, pk: int) -> Bulk:
    return get_object_or_404(Bulk.objects.visible_to(request.membership).select_related("by"), pk=pk)


def _of_ones_own_kind(request: OpsRequest, pk: int) -> Bulk:
    """A bulk of a kind that this member may work with."""
    bulk = _visible(request, pk)
    if not request.membership.may(kinds[bulk.kind].door):
        raise PermissionDenied
    return bulk


def _change(request: OpsRequest, bulk: Bulk, change: Callable[[], Bulk]) -> HttpResponse:
    try:
        change()
    except services.NotAllowed as refusal:
        raise PermissionDenied from refusal
    except DomainError:
        fresh = _visible(request, bulk.pk)
        words = f"That is too late: it is {fresh.get_state_display().lower()} by now."
        return _progress(request, fresh, refusal=words, status=409)
    return redirect("workflows:bulk", bulk.pk)


def _form(bulk: Bulk, data: Any = None) -> BulkForm:
    return kinds[bulk.kind].form(data, bulk=bulk)


def _named(bulk: Bulk) -> dict[str, Any]:
    return {"bulk": bulk, "kind": _kind_of(bulk)}


def _kind_of(bulk: Bulk) -> Kind:
    return kinds[bulk.kind]


def _preview(request: OpsRequest, bulk: Bulk, *, form: BulkForm | None = None, status: int = 200) -> HttpResponse:
    kind = _kind_of(bulk)
    items = list(_items(request, bulk).order_by("pk")[:LOOKED_AT])
    subjects = kind.subject.load([item.subject_id for item in items])
    rows = []
    for item in items:
        subject = subjects.get(item.subject_id)
        refused = kind.why_not(subject) if subject is not None else "It is not there any more."
        would = kind.would(subject) if not refused else ""
        rows.append(
            {
                "label": item.label,
                "url": reverse(kind.subject.url_name, args=[item.subject_id]),
                "words": kind.subject.words(subject) if subject is not None else "",
                "refused": refused,
                "would": would,
            }
        )
    refusals = Counter(row["refused"] for row in rows if row["refused"])
    context = {
        "bulk": bulk,
        "kind": kind,
        "form": form or _form(bulk),
        "rows": rows[:SHOWN],
        "more": bulk.total - len(rows[:SHOWN]),
        "looked_at": len(rows),
        "refusals": refusals.most_common(),
        "outcomes": Counter(row["would"] for row in rows if row["would"]).most_common(),
        "notes": kind.notes(bulk),
        "refused": sum(refusals.values()),
        "fitting": len(rows) - sum(refusals.values()),
        "list_url": _back(bulk, kind),
    }
    return render(request, "workflows/bulk_preview.html", context, status=status)


def _items(request: OpsRequest, bulk: Bulk) -> QuerySet[BulkItem]:
    """What came of each, but of veiled cases."""
    hidden = veiled_cases(request.membership)
    items = bulk.items.all()
    return items.exclude(subject_id__in=list(_kind_of(bulk).subject.of_cases(hidden))) if hidden else items


def _back(bulk: Bulk, kind: Kind) -> str:
    query = bulk.selection.get("query", "")
    return f"{reverse(kind.subject.list_url_name)}?{query}".rstrip("?")


def _progress(request: OpsRequest, bulk: Bulk, *, refusal: str = "", status: int = 200) -> HttpResponse:
    kind, seen = _kind_of(bulk), request.GET.get("seen", "")
    result = request.GET.get("result", "")
    items = _items(request, bulk)
    if result in BulkItem.Result.values:
        items = items.filter(result=result)
    context = {
        "bulk": bulk,
        "kind": kind,
        "page": newest_first(items, request),
        "views": _views(request, bulk, result),
        "live": bulk.state not in BULK_FINAL,
        "poll_url": with_query(request, seen=bulk.state),
        "may_change": request.membership.may(kind.permission) and request.membership.may(kind.door),
        "refusal": refusal,
    }
    response = render_page(
        request, "workflows/bulk_detail.html", "workflows/_bulk_progress.html", context, status=status
    )
    if wants_fragment(request) and seen and seen != bulk.state:
        # The buttons stand outside the part that refreshes itself: another state has others.
        response.headers["HX-Refresh"] = "true"
    return response


def _views(request: OpsRequest, bulk: Bulk, current: str) -> list[dict[str, object]]:
    counts = {"": bulk.total, "done": bulk.done, "refused": bulk.refused, "failed": bulk.failed, "due": bulk.left}
    labels = {"": "All", "done": "Done", "refused": "Refused", "failed": "Failed", "due": "Left"}
    return [
        {
            "label": labels[key],
            "count": count,
            "url": with_query(request, result=key or None, before=None, seen=None),
            "current": key == current,
        }
        for key, count in counts.items()
        if count or not key or key == current
    ]
