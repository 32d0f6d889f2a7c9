"""Business calendars: the hours in which due times, objection windows and waits are counted."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField

from accounts.models import BusinessCalendar
from accounts.recorded import RecordedAdmin, RecordedForm

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class LinesField(SimpleArrayField):
    """Values one a line; empty lines and the browser's carriage returns do not count."""

    def __init__(self, base_field: forms.Field, **kwargs: Any) -> None:
        super().__init__(base_field, delimiter="\n", **kwargs)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str):
            value = "\n".join(line.strip() for line in value.splitlines() if line.strip())
        return super().to_python(value)


class CalendarForm(RecordedForm):
    """Days are ticked, holidays written one a line."""

    weekdays = forms.TypedMultipleChoiceField(
        coerce=int,
        choices=list(enumerate(DAYS)),
        widget=forms.CheckboxSelectMultiple,
        label="Working days",
        error_messages={"required": "Without a working day no due time would ever come."},
    )
    holidays = LinesField(
        forms.DateField(),
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "cols": 14}),
        help_text="Days on which nobody works, one a line: 2026-12-25.",
    )

    class Meta:
        model = BusinessCalendar
        fields = ["organization", "weekdays", "opens_at", "closes_at", "holidays"]


@admin.register(BusinessCalendar)
class CalendarAdmin(RecordedAdmin):
    """When the organization works."""

    noun = "accounts.calendar"
    given_once = ["organization"]
    form = CalendarForm
    list_display = ["organization", "opens_at", "closes_at", "days"]
    list_select_related = ["organization"]
    fieldsets = [
        (
            None,
            {
                "fields": ["organization", "weekdays", ("opens_at", "closes_at")],
                "description": "Due times and objection windows count only minutes inside these hours, in the "
                "organization's time zone. Reviews that are open keep the times they were given.",
            },
        ),
        ("Holidays", {"fields": ["holidays"]}),
    ]

    @admin.display(description="working days")
    def days(self, calendar: BusinessCalendar) -> str:
        """The days by their short names."""
        return ", ".join(DAYS[day][:3] for day in calendar.weekdays)
