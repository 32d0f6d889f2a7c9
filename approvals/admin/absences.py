"""Time off, to be looked up: it is agreed and called off on the page of whoever is away."""

from django.contrib import admin

from accounts.recorded import ReadOnlyAdmin
from approvals.models import Absence


@admin.register(Absence)
class AbsenceAdmin(ReadOnlyAdmin):
    """Who was or is away, and who stood in."""

    list_display = ["user", "begins_on", "ends_on", "delegate", "ceiling", "ended_at"]
    list_filter = [("ended_at", admin.EmptyFieldListFilter)]
    list_select_related = ["user", "delegate"]
    search_fields = ["user__first_name", "user__last_name", "user__username"]
    date_hierarchy = "begins_on"
