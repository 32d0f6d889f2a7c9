"""The events that arrived, to be read: byte for byte, with what became of them."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.recorded import CappedPaginator, ReadOnlyAdmin
from opsdesk.lib.wording import visible
from workflows.models import Event

SHOWN = 20_000  # characters of a body


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """What came in, and what it did or why it was set aside."""

    list_display = ["received_at", "source", "named", "state", "reason", "case"]
    list_filter = ["state"]
    search_fields = ["=dedupe_key"]
    search_help_text = "The sender's own id of the event, in full."
    paginator = CappedPaginator
    ordering = ["-pk"]
    fieldsets = [
        (None, {"fields": ["received_at", "source", "named", "state", "reason", "case"]}),
        ("As it arrived", {"fields": ["dedupe_key", "reader", "body_hash", "text"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).select_related("case")

    @admin.display(description="type")
    def named(self, event: Event) -> str:
        """The type the sender gave, with unseen characters spelled out."""
        return visible(event.type) or "not read"

    @admin.display(description="body")
    def text(self, event: Event) -> str:
        """The body as text, with unseen characters spelled out."""
        return visible(bytes(event.body).decode(errors="replace"), at_most=SHOWN)
