"""Exports: asking for a list as a file, seeing how far it is, and taking it."""

from datetime import datetime

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib.errors import DomainError
from opsdesk.lib.htmx import render_page, wants_fragment
from opsdesk.lib.paging import newest_first
from opsdesk.lib.requests import OpsRequest
from opsdesk.lists import exporting
from opsdesk.lists.registry import LISTS, ListPage
from opsdesk.models import Export
from opsdesk.states import ExportState
from opsdesk.views.saved_views import list_asked_for


@require_GET
@requires(Permission.EXPORT)
def index(request: OpsRequest) -> HttpResponse:
    """One's own exports, newest first."""
    page = newest_first(Export.objects.visible_to(request.membership), request)
    rows = [{"export": export, "page": LISTS.get(export.page), "words": _words(export)} for export in page.rows]
    return render(request, "opsdesk/export_list.html", {"page": page, "rows": rows, "kept": exporting.KEPT})


@require_GET
@requires(Permission.EXPORT)
def new(request: OpsRequest) -> HttpResponse:
    """Ask which columns, and for which program; without a list, show the exports there are."""
    if not request.GET.get("page"):
        return redirect("exports")
    listed = list_asked_for(request, request.GET["page"])
    return _ask(request, listed, listed.kept(request.GET.urlencode()))


def _ask(request: OpsRequest, listed: ListPage, query: str, *, refusal: str = "", status: int = 200) -> HttpResponse:
    context = {
        "page": listed,
        "query": query,
        "words": listed.in_words(query),
        "url": listed.url(query),
        "kept": exporting.KEPT,
        "refusal": refusal,
    }
    return render(request, "opsdesk/new_export.html", context, status=status)


@require_POST
@requires(Permission.EXPORT)
def ask(request: OpsRequest) -> HttpResponse:
    """Have it written."""
    listed = LISTS.get(request.POST.get("page", ""))
    if listed is None or not request.membership.may(listed.permission):
        messages.warning(request, "Open a list, narrow it, and export it from there.")
        return redirect("exports")
    query = request.POST.get("query", "")
    columns, with_mark = request.POST.getlist("columns"), request.POST.get("for") != "programs"
    try:
        export = exporting.ask(listed.key, query=query, columns=columns, with_mark=with_mark, member=request.membership)
    except DomainError as refused:
        return _ask(request, listed, listed.kept(query), refusal=str(refused), status=409)
    return redirect("export", export.pk)


@require_GET
@requires(Permission.EXPORT)
def show(request: OpsRequest, pk: int) -> HttpResponse:
    """How far it is, and the file once it is written."""
    return _show(request, _own(request, pk))


def _show(request: OpsRequest, export: Export, *, refusal: str = "", status: int = 200) -> HttpResponse:
    listed = LISTS.get(export.page)
    context = {
        "export": export,
        "page": listed,
        "columns": listed.columns_of(export.columns) if listed else [],
        "words": _words(export),
        "live": export.state == ExportState.RUNNING,
        "refusal": refusal,
    }
    page, part = "opsdesk/export_detail.html", "opsdesk/_export_state.html"
    response = render_page(request, page, part, context, status=status)
    if wants_fragment(request) and not context["live"]:
        # The button for the file stands outside the part that refreshes itself.
        response.headers["HX-Refresh"] = "true"
    return response


@require_POST
@requires(Permission.EXPORT)
def take(request: OpsRequest, pk: int) -> HttpResponseBase:
    """The file itself, which the audit log tells of: so it is asked for by a button, not by a link."""
    export = _own(request, pk)
    try:
        export, pieces = exporting.take(export.pk, member=request.membership)
    except DomainError as refused:
        return _show(request, _own(request, pk), refusal=str(refused), status=409)
    response = StreamingHttpResponse(pieces, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{_file_name(export, timezone.localtime())}"'
    response.headers["Content-Length"] = str(export.size)
    return response


@require_POST
@requires(Permission.EXPORT)
def remove(request: OpsRequest, pk: int) -> HttpResponse:
    """Remove the file before its time."""
    exporting.remove(_own(request, pk).pk, member=request.membership)
    messages.success(request, "The file is removed.")
    return redirect("exports")


def _own(request: OpsRequest, pk: int) -> Export:
    return get_object_or_404(Export.objects.visible_to(request.membership), pk=pk)


def _words(export: Export) -> str:
    listed = LISTS.get(export.page)
    return listed.in_words(export.query) if listed else ""


def _file_name(export: Export, now: datetime) -> str:
    return f"{export.page}-{now:%Y-%m-%d}-{export.pk}.csv"
