"""Skills: what each person is given and offered first."""

from django.contrib import admin

from accounts.recorded import RecordedAdmin
from approvals.models import Skill


@admin.register(Skill)
class SkillAdmin(RecordedAdmin):
    """What a person takes on; one that no longer holds is switched off."""

    noun = "approvals.skill"
    given_once = ["organization", "user"]
    list_display = ["user", "kind", "currency", "reason", "enabled"]
    list_filter = ["enabled"]
    list_select_related = ["user"]
    search_fields = ["user__username", "user__first_name", "user__last_name", "reason"]
    fieldsets = [
        (
            None,
            {
                "fields": ["organization", "user", "kind", "currency", "reason", "enabled"],
                "description": "Whoever has no skill is given every case. What nobody has a skill for goes to "
                "everybody. Who may vote is not changed by it.",
            },
        )
    ]
