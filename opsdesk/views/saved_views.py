"""Saved views: keeping the filters of a list under a name, and looking after those that are kept."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST
from django.views.decorators.vary import vary_on_headers

from accounts.access import requires
from accounts.roles import Permission
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest
from opsdesk.lists import saving
from opsdesk.lists.registry import LISTS, ListPage
from opsdesk.models import SavedView


class ViewForm(forms.Form):
    """The name of a view, and whether everybody sees it; the second only where one may share."""

    name = forms.CharField(
        label="Name",
        max_length=40,
        widget=forms.TextInput(attrs={"placeholder": "Large and late", "autocomplete": "off"}),
    )
    shared = forms.BooleanField(label="Share it with the organization", required=False)

    def __init__(self, *args: Any, may_share: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_share:
            del self.fields["shared"]


def _form(request: OpsRequest, *, sent: bool = False) -> ViewForm:
    return ViewForm(request.POST if sent else None, may_share=request.membership.may(Permission.SHARE_VIEWS))


def list_asked_for(request: OpsRequest, key: str) -> ListPage:
    """The list of that key, for whoever may see it."""
    listed = LISTS.get(key)
    if listed is None or not request.membership.may(listed.permission):
        raise Http404("There is no such list.")
    return listed


@require_GET
@requires(Permission.SEE_DESK)
def index(request: OpsRequest) -> HttpResponse:
    """One's own views and the organization's, in the order of the rail."""
    views = SavedView.objects.visible_to(request.membership).in_order().select_related("owner")
    rows = [
        {
            "view": view,
            "page": LISTS[view.page],
            "url": LISTS[view.page].url(view.query),
            "words": LISTS[view.page].in_words(view.query),
            "may_change": saving.may_change(view, request.membership),
        }
        for view in views
        if view.page in LISTS
    ]
    may_share = request.membership.may(Permission.SHARE_VIEWS)
    return render(request, "opsdesk/saved_views.html", {"rows": rows, "may_share": may_share, "most": saving.MOST})


@require_GET
@requires(Permission.SEE_DESK)
def new(request: OpsRequest) -> HttpResponse:
    """Ask for the name under which the filters of a list are kept; without a list, show those there are."""
    if not request.GET.get("page"):
        return redirect("saved_views")
    listed = list_asked_for(request, request.GET["page"])
    return _ask(request, listed, listed.kept(request.GET.urlencode()), _form(request))


def _ask(
    request: OpsRequest, listed: ListPage, query: str, form: ViewForm, *, refusal: str = "", status: int = 200
) -> HttpResponse:
    context = {
        "page": listed,
        "query": query,
        "words": listed.in_words(query),
        "url": listed.url(query),
        "form": form,
        "refusal": refusal,
    }
    return render(request, "opsdesk/save_view.html", context, status=status)


@require_POST
@requires(Permission.SEE_DESK)
def save(request: OpsRequest) -> HttpResponse:
    """Keep them, and go back to the list."""
    listed = LISTS.get(request.POST.get("page", ""))
    if listed is None or not request.membership.may(listed.permission):
        messages.warning(request, "Open a list, narrow it, and save it from there.")
        return redirect("saved_views")
    query, form = listed.kept(request.POST.get("query", "")), _form(request, sent=True)
    if not form.is_valid():
        return _ask(request, listed, query, form, status=422)
    name, shared = form.cleaned_data["name"], form.cleaned_data.get("shared", False)
    try:
        view = saving.save(listed.key, name=name, query=query, shared=shared, member=request.membership)
    except DomainError as refused:
        return _ask(request, listed, query, form, refusal=str(refused), status=409)
    messages.success(request, f"Kept as “{view.name}”.")
    return redirect(listed.url(query))


@require_POST
@requires(Permission.SEE_DESK)
def change(request: OpsRequest, pk: int) -> HttpResponse:
    """Another name; shared or not."""
    view, form = _visible(request, pk), _form(request, sent=True)
    if not form.is_valid():
        messages.warning(request, "Give it a name of at most 40 characters.")
        return redirect("saved_views")
    shared = form.cleaned_data.get("shared", view.shared)
    return _changed(
        request,
        lambda: saving.change(view, name=form.cleaned_data["name"], shared=shared, member=request.membership),
        f"“{form.cleaned_data['name']}” is kept so.",
    )


@require_POST
@requires(Permission.SEE_DESK)
def delete(request: OpsRequest, pk: int) -> HttpResponse:
    """Throw it away."""
    view = _visible(request, pk)
    return _changed(request, lambda: saving.delete(view, member=request.membership), f"“{view.name}” is deleted.")


@require_POST
@requires(Permission.SEE_DESK)
def move(request: OpsRequest, pk: int) -> HttpResponse:
    """One place up, or down."""
    view, up = _visible(request, pk), request.POST.get("to") == "up"
    return _changed(request, lambda: saving.move(view, up=up, member=request.membership), "")


def _visible(request: OpsRequest, pk: int) -> SavedView:
    return get_object_or_404(SavedView.objects.visible_to(request.membership), pk=pk)


def _changed(request: OpsRequest, act: Callable[[], object], said: str) -> HttpResponse:
    try:
        act()
    except DomainError as refused:
        messages.warning(request, str(refused))
    else:
        if said:
            messages.success(request, said)
    return redirect("saved_views")


@require_GET
@vary_on_headers("HX-Request")
@requires(Permission.SEE_DESK)
def counts(request: OpsRequest) -> HttpResponse:
    """The rail's views with how many rows each has; asked for by the page once it stands, so that it waits for none."""
    return render(request, "ui/_rail_views.html", {"counted": True})
