"""Business calendars: the hours in which due times, objection windows and waits are counted."""

from datetime import date, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import ValidationError
from django.forms.models import BaseInlineFormSet
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.calendar import Hours
from accounts.holidays import countries, public_holidays, subdivisions
from accounts.models import BusinessCalendar, DailyBreak
from accounts.recorded import OwnInline, RecordedAdmin, RecordedForm
from opsdesk.lib import clock

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
# An ordinary day, on which no clock is changed.
_PLAIN = date(2027, 6, 1)


class LinesField(SimpleArrayField):
    """Values one a line; empty lines and the browser's carriage returns do not count."""

    def __init__(self, base_field: forms.Field, **kwargs: Any) -> None:
        super().__init__(base_field, delimiter="\n", **kwargs)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str):
            value = "\n".join(line.strip() for line in value.splitlines() if line.strip())
        return super().to_python(value)


def _days_field(label: str, help_text: str) -> LinesField:
    area = forms.Textarea(attrs={"rows": 8, "cols": 14})
    return LinesField(forms.DateField(), required=False, label=label, widget=area, help_text=help_text)


class CalendarForm(RecordedForm):
    """Days are ticked, days off and days worked all the same written one a line."""

    weekdays = forms.TypedMultipleChoiceField(
        coerce=int,
        choices=list(enumerate(DAYS)),
        widget=forms.CheckboxSelectMultiple,
        label="Working days",
        error_messages={"required": "Without a working day no due time would ever come."},
    )
    country = forms.ChoiceField(
        choices=lambda: [("", "No public holidays"), *countries().items()],
        required=False,
        help_text="Its public holidays are days off, every year anew.",
    )
    holidays = _days_field("Further days off", "Days on which nobody works, one a line: 2026-12-25.")
    worked_days = _days_field(
        "Days worked all the same", "Public holidays, or free weekdays, on which people work, one a line."
    )

    class Meta:
        model = BusinessCalendar
        fields = [
            "organization",
            "weekdays",
            "opens_at",
            "closes_at",
            "country",
            "subdivision",
            "holidays",
            "worked_days",
        ]

    def clean(self) -> dict[str, Any]:
        """A part of the country is one of those that have holidays of their own; no day is both off and worked."""
        values = super().clean() or self.cleaned_data
        known = subdivisions(values.get("country", "")) if values.get("country") else []
        if values.get("subdivision") and values["subdivision"] not in known:
            self.add_error("subdivision", f"Known parts: {', '.join(known) or 'none'}.")
        both = set(values.get("holidays") or ()) & set(values.get("worked_days") or ())
        if both:
            self.add_error("worked_days", f"{min(both)} cannot be a day off and a day worked.")
        return values


class BreakFormSet(BaseInlineFormSet):
    """Breaks that lie within the working hours and beside each other."""

    def clean(self) -> None:
        """Refuse a break outside the hours, two that overlap, and breaks that leave no time to work."""
        super().clean()
        there = [form for form in self.forms if form.instance.pk is not None or form.has_changed()]
        staying = [form for form in there if form not in self.deleted_forms]
        if any(form.errors for form in staying) or not (self.instance.opens_at and self.instance.closes_at):
            return
        breaks = [(form.instance.starts_at, form.instance.ends_at) for form in staying]
        problem = problem_of(self.instance.opens_at, self.instance.closes_at, breaks)
        if problem:
            raise ValidationError(problem)


def problem_of(opens_at: time, closes_at: time, breaks: list[tuple[time, time]]) -> str:
    """Why breaks do not fit into working hours; "" when they do."""
    hours = Hours(ZoneInfo("UTC"), frozenset(range(7)), opens_at, closes_at, frozenset(), tuple(breaks))
    whole = hours.span_of(_PLAIN)
    if whole is None or whole[0] >= whole[1]:
        return ""  # said by the hours themselves
    end = whole[0]
    for starts, ends in sorted(hours.break_on(_PLAIN, *each) for each in breaks):
        if starts < whole[0] or ends > whole[1]:
            return f"The break from {starts:%H:%M} to {ends:%H:%M} is not within the working hours."
        if starts < end:
            return f"Two breaks overlap at {starts:%H:%M}."
        end = ends
    return "" if hours.spans_of(_PLAIN) else "The breaks leave no time to work."


class BreakInline(OwnInline, admin.TabularInline):
    """Parts of every working day in which nobody works."""

    model = DailyBreak
    formset = BreakFormSet
    fields = ["starts_at", "ends_at"]
    verbose_name_plural = "Breaks"


@admin.register(BusinessCalendar)
class CalendarAdmin(RecordedAdmin):
    """When the organization works."""

    noun = "accounts.calendar"
    given_once = ["organization"]
    children = ["breaks"]
    form = CalendarForm
    inlines = [BreakInline]
    readonly_fields = ["days_off"]
    list_display = ["organization", "opens_at", "closes_at", "days", "country", "subdivision"]
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
        (
            "Holidays",
            {
                "fields": [("country", "subdivision"), ("holidays", "worked_days"), "days_off"],
                "description": "A holiday that is moved is a day worked all the same, and a further day off.",
            },
        ),
    ]

    @admin.display(description="working days")
    def days(self, calendar: BusinessCalendar) -> str:
        """The days by their short names."""
        return ", ".join(DAYS[day][:3] for day in calendar.weekdays)

    @admin.display(description="Days off in the next year")
    def days_off(self, calendar: BusinessCalendar) -> SafeString | str:
        """Every day off of the next twelve months with its name, as it is saved now."""
        today = clock.now().date()
        listed = [(f"{day:%a %-d %b %Y}", name) for day, name in days_off_of(calendar, today)]
        if not listed:
            return "None."
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}, {}</li>", listed))


def days_off_of(calendar: BusinessCalendar, first: date) -> list[tuple[date, str]]:
    """Days off that fall on working days of the year from `first`, with the names of public holidays."""
    last = first + timedelta(days=365)
    named = dict.fromkeys(calendar.holidays, "day off")
    for year in (first.year, last.year):
        named = {**named, **public_holidays(calendar.country, calendar.subdivision, year)}
    worked = set(calendar.worked_days)
    return [
        (day, name)
        for day, name in sorted(named.items())
        if first <= day <= last and day.weekday() in calendar.weekdays and day not in worked
    ]
