"""The audit log in the admin, to be read. The desk's own page has the filters people need."""

import json
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.recorded import CappedPaginator, ReadOnlyAdmin
from accounts.roles import Permission
from auditlog.models import Entry
from auditlog.verbs import known
from opsdesk.lib.wording import visible


class AreaFilter(admin.SimpleListFilter):
    """By the part of the desk that tells: its verbs begin with the part's name."""

    title = "area"
    parameter_name = "area"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        labels = sorted({verb.partition(".")[0] for verb in known()})
        return [(label, str(apps.get_app_config(label).verbose_name)) for label in labels]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Entry]") -> "QuerySet[Entry]":
        return queryset.filter(verb__startswith=f"{self.value()}.") if self.value() else queryset


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    """Who did what, when and why."""

    permission = Permission.READ_AUDIT
    list_display = ["at", "actor", "words", "subject", "case_id", "why"]
    list_filter = ["actor_kind", AreaFilter]
    paginator = CappedPaginator
    ordering = ["-pk"]
    fieldsets = [
        (None, {"fields": ["at", "actor", "actor_kind", "words", "subject", "case_id", "why"]}),
        ("What changed", {"fields": ["was", "is_now"]}),
        ("Trace", {"fields": ["verb", "request_id"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).select_related("user")

    @admin.display(description="subject")
    def subject(self, entry: Entry) -> str:
        """What it happened to."""
        return f"{entry.subject_kind} {entry.subject_id}"

    @admin.display(description="reason")
    def why(self, entry: Entry) -> str:
        """The reason, as people or systems outside wrote it."""
        return visible(entry.reason, at_most=2000)

    @admin.display(description="before")
    def was(self, entry: Entry) -> str:
        """The state before, laid out."""
        return _laid_out(entry.before)

    @admin.display(description="after")
    def is_now(self, entry: Entry) -> str:
        """The state after, laid out."""
        return _laid_out(entry.after)


def _laid_out(state: Any) -> str:
    lines = json.dumps(state, indent=2, ensure_ascii=False).split("\n") if state else ["nothing"]
    return "\n".join(visible(line, at_most=2000) for line in lines)
