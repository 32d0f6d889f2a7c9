"""Saved views and exports, to be looked up. They are made on the pages of the lists; an admin can clear a view away."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.recorded import ReadOnlyAdmin
from accounts.roles import Permission
from opsdesk.lib.wording import visible
from opsdesk.lists import saving
from opsdesk.lists.registry import LISTS
from opsdesk.models import Export, SavedView


class ListFilter(admin.SimpleListFilter):
    """By the list that is narrowed."""

    title = "list"
    parameter_name = "list"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(listed.key, listed.label) for listed in LISTS.values()]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(page=self.value()) if self.value() else queryset


class OfAList(ReadOnlyAdmin):
    """What both say about the list they are of."""

    @admin.display(description="list", ordering="page")
    def listed(self, row: Any) -> str:
        """The list in words."""
        found = LISTS.get(row.page)
        return found.label if found is not None else str(row.page)

    @admin.display(description="filters")
    def filters(self, row: Any) -> str:
        """The filters in words; what somebody typed may hold anything."""
        found = LISTS.get(row.page)
        return visible(found.in_words(row.query) if found is not None else row.query, at_most=600)


@admin.register(SavedView)
class SavedViewAdmin(OfAList):
    """Everybody's views; deleting one takes it out of its owner's rail, and out of all rails where it is shared."""

    list_display = ["called", "listed", "filters", "owner", "shared", "saved_at"]
    list_filter = ["shared", ListFilter]
    list_select_related = ["owner"]
    search_fields = ["name", "owner__first_name", "owner__last_name", "owner__username"]
    fields = ["called", "listed", "filters", "owner", "shared", "position", "saved_at"]

    @admin.display(description="name", ordering="name")
    def called(self, view: SavedView) -> str:
        """Its name, as its owner wrote it."""
        return visible(view.name, at_most=40)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing hangs on a view: who may configure clears up after people who left."""
        membership = getattr(request, "membership", None)
        return membership is not None and bool(membership.may(Permission.CONFIGURE))

    def delete_model(self, request: HttpRequest, obj: SavedView) -> None:
        """With its entry in the audit log."""
        saving.clear_away(obj, member=request.membership)  # type: ignore[attr-defined]

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """The audit log tells it."""
        return []


@admin.register(Export)
class ExportAdmin(OfAList):
    """Who took which list away, and how far it is. Its file is for whoever asked for it, for a day."""

    permission = Permission.CONFIGURE
    list_display = ["pk", "listed", "filters", "by", "state", "rows", "size", "asked_at", "expires_at"]
    list_filter = ["state", ListFilter]
    list_select_related = ["by"]
    search_fields = ["by__first_name", "by__last_name", "by__username"]
    fields = [
        "listed",
        "filters",
        "columns",
        "by",
        "state",
        "total",
        "rows",
        "size",
        "note",
        "asked_at",
        "ended_at",
        "expires_at",
    ]
