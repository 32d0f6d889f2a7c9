"""Which groups of the identity provider have which role here."""

from django.contrib import admin

from accounts.models import GroupRole
from accounts.recorded import RecordedAdmin


@admin.register(GroupRole)
class GroupRoleAdmin(RecordedAdmin):
    """Roles by group: read with every sign-in by the provider, and changed by two where two are asked."""

    noun = "accounts.group_role"
    second_person = True
    given_once = ["group"]
    list_display = ["group", "role", "position", "enabled"]
    list_filter = ["role", "enabled"]
    fieldsets = [
        (None, {"fields": ["organization", "group", "role"]}),
        (
            "How it counts",
            {
                "fields": ["position", "enabled"],
                "description": "Where one of these is on, whoever signs in by the provider has the role of their "
                "groups here, or none. It counts from their next sign-in on; another role ends their sessions.",
            },
        ),
    ]
