"""The organization itself: its time, its kill switch, and what it asks of people."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts import proposals
from accounts.forms import OrganizationForm
from accounts.models import Organization
from accounts.recorded import RecordedAdmin
from accounts.roles import Permission
from accounts.snapshots import Snapshot

# What an organization asks for before somebody gets in, decides about much, or changes what others may.
_GUARDS = {
    *("rules_need_second_person", "rights_need_second_person", "recovery_signatures", "audit_kept_apart"),
    *("factor_roles", "confirm_above_minor", "confirm_minutes"),
}


@admin.register(Organization)
class OrganizationAdmin(RecordedAdmin):
    """The business unit itself, with its kill switch."""

    noun = "accounts.organization"
    second_person = True
    organization_path = "pk"
    for_founding = True
    given_once = ["slug"]
    form = OrganizationForm
    list_display = ["name", "slug", "time_zone", "currency", "acting_enabled"]
    fieldsets = [
        (None, {"fields": ["name", "slug"]}),
        ("Time and money", {"fields": ["time_zone", "currency"]}),
        (
            "Kill switch",
            {
                "fields": ["acting_enabled"],
                "description": "Off holds back everything that would be sent outside, in all workflows and over all "
                "connections. Cases still arrive and are decided; what is held goes out when it is on again.",
            },
        ),
        (
            "Four eyes",
            {
                "fields": ["rules_need_second_person", "rights_need_second_person", "audit_kept_apart"],
                "description": "Two accounts of one human being are one person.",
            },
        ),
        (
            "Signing in",
            {
                "fields": [("idle_minutes", "session_hours"), "factor_roles"],
                "description": "A session also ends at once when its owner's role, password or standing changes.",
            },
        ),
        (
            "Showing again who one is",
            {
                "fields": ["confirm_above_minor", "confirm_minutes"],
                "description": "Before large sums are approved, one by one or several at once, and before thresholds "
                "are put in force: by the second factor, or by the password of whoever has none.",
            },
        ),
        (
            "After a restore",
            {
                "fields": ["recovery_signatures"],
                "description": "When the database was put back, nothing is sent until it has been compared with the "
                "gateways and so many admins have read and signed the result.",
            },
        ),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Founding a further organization is for superusers."""
        return bool(request.user.is_superuser)

    def asks_second_person(self, was: Snapshot, now: Snapshot, *, change: bool) -> bool:
        """What may ask for fewer people, or for less of each; the kill switch and the rest take effect at once."""
        return change and bool(_GUARDS & set(now))

    def are_two_asked(self, request: HttpRequest, row: Organization, form: Any) -> bool:
        """The row itself says so, and may say otherwise by now.

        Four eyes over what decides are not closed by two, wherever there are two people to look with; and no admin
        alone puts the log under admins again.
        """
        before = form.before
        if before.get("rights_need_second_person") or (before.get("audit_kept_apart") and not row.audit_kept_apart):
            return True
        closed = before.get("rules_need_second_person") and not row.rules_need_second_person
        return bool(closed) and len(proposals.people_who_may(row.pk, Permission.CONFIGURE)) > 1

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Two people are asked for only where there are two."""
        row, before = form.instance, form.before
        two_now = row.rights_need_second_person and not before.get("rights_need_second_person")
        if two_now:
            proposals.refuse_lockout(row.pk)
        if two_now or (row.audit_kept_apart and not before.get("audit_kept_apart")):
            proposals.refuse_unkept(row.pk)
        super().save_related(request, form, formsets, change)
