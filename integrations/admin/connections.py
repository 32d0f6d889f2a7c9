"""Connections, their maintenance and their endpoints: addresses, limits, secrets that only go in, and switches."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest

from accounts.recorded import RecordedAdmin
from integrations.admin.forms import ConnectionForm, EndpointForm, WindowForm
from integrations.models import Connection, Endpoint, MaintenanceWindow


@admin.register(Connection)
class ConnectionAdmin(RecordedAdmin):
    """Outside systems. Sending is paused and resumed on the desk's own page, where its state is seen."""

    noun = "integrations.connection"
    withheld = ["secret"]
    given_once = ["organization", "slug"]
    form = ConnectionForm
    readonly_fields = ["stored_secret", "acting_enabled", "paused_reason"]
    list_display = ["name", "slug", "connector", "base_url", "enabled", "acting_enabled"]
    prepopulated_fields = {"slug": ["name"]}
    fieldsets = [
        (None, {"fields": ["organization", "name", "slug", "connector"]}),
        (
            "Address and key",
            {
                "fields": ["base_url", "options", "stored_secret", "new_secret"],
                "description": "Calls go to this address only, after it was found to be a public one. A new address "
                "needs its key again, so that no key is ever sent to a place it was not given for.",
            },
        ),
        (
            "Limits",
            {
                "fields": ["calls_per_second", "burst", "most_at_once", "most_attempts"],
                "description": "What finds no room waits; nothing fails for it. Retries take at most a tenth of all "
                "calls, at least one a second, whatever is set here.",
            },
        ),
        (
            "Switches",
            {
                "fields": ["enabled", "acting_enabled", "paused_reason"],
                "description": "Enabled off: nothing is read from it or sent to it. Sending alone is paused and "
                "resumed on the connections page of the desk.",
            },
        ),
    ]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Connection | None = None) -> dict[str, Any]:
        return {} if obj is not None else dict(super().get_prepopulated_fields(request, obj))

    @admin.display(description="stored secret")
    def stored_secret(self, connection: Connection) -> str:
        """Whether there is one; nothing about what it is."""
        return "stored, encrypted" if connection.secret else "none"


@admin.register(Endpoint)
class EndpointAdmin(RecordedAdmin):
    """Addresses at which outside systems deliver webhooks."""

    noun = "integrations.endpoint"
    withheld = ["secret", "old_secret"]
    given_once = ["organization", "slug", "scheme"]
    form = EndpointForm
    readonly_fields = ["address", "stored_secret", "old_secret_until"]
    list_display = ["slug", "connection", "scheme", "enabled", "old_secret_until"]
    list_select_related = ["connection", "organization"]
    fieldsets = [
        (None, {"fields": ["organization", "connection", "slug", "scheme", "address", "enabled"]}),
        ("Secret", {"fields": ["stored_secret", "new_secret", "overlap_hours", "old_secret_until"]}),
    ]

    @admin.display(description="address")
    def address(self, endpoint: Endpoint) -> str:
        """Where the other side sends to."""
        if endpoint._state.adding:
            return "Shown here once it is saved."
        return f"{settings.BASE_URL}/hooks/{endpoint.organization.slug}/{endpoint.slug}/"

    @admin.display(description="stored secret")
    def stored_secret(self, endpoint: Endpoint) -> str:
        """Whether there is one; nothing about what it is."""
        return "stored, encrypted" if endpoint.secret else "none"


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(RecordedAdmin):
    """When outside systems are worked on. A window is ended early on the connection's page of the desk."""

    noun = "integrations.window"
    added = "planned"
    organization_path = "connection__organization_id"
    given_once = ["connection"]
    form = WindowForm
    list_display = ["connection", "starts_at", "ends_at", "reason", "ended_at"]
    list_select_related = ["connection"]
    readonly_fields = ["ended_at"]
    fieldsets = [
        (
            None,
            {
                "fields": ["connection", "starts_at", "ends_at", "reason", "ended_at"],
                "description": "Everything that would be sent or read waits meanwhile, with this reason, and goes out "
                "by itself when the window ends.",
            },
        ),
    ]
