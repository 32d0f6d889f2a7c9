"""Business calendars in the admin."""

from datetime import date, time

import pytest
from django.urls import reverse

from accounts.models import BusinessCalendar
from auditlog.models import Entry

WHY = {"change_reason": "Two people from now on"}


def page(calendar):
    return reverse("admin:accounts_businesscalendar_change", args=[calendar.pk])


def calendar_data(acme, **changes):
    kept = {"organization": acme.pk, "weekdays": ["0", "1", "4"], "opens_at": "09:00", "closes_at": "17:30"}
    return {**kept, "holidays": "2026-12-25\r\n\r\n2026-12-26\r\n", **WHY, **changes}


def test_days_are_ticked_and_holidays_written_one_a_line(desk, acme):
    answer = desk.post(reverse("admin:accounts_businesscalendar_add"), calendar_data(acme))

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    calendar = BusinessCalendar.objects.get()
    assert calendar.weekdays == [0, 1, 4]
    assert calendar.holidays == [date(2026, 12, 25), date(2026, 12, 26)]
    text = desk.get(page(calendar)).content.decode()
    assert "2026-12-25\n2026-12-26" in text
    assert Entry.objects.get().after["weekdays"] == [0, 1, 4]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weekdays": []}, "weekdays"),
        ({"weekdays": ["7"]}, "weekdays"),
        ({"holidays": "Christmas"}, "holidays"),
        ({"opens_at": "17:30"}, "__all__"),
    ],
)
def test_a_calendar_in_which_time_stands_still_is_refused(desk, acme, changes, field):
    answer = desk.post(reverse("admin:accounts_businesscalendar_add"), calendar_data(acme, **changes))

    assert field in answer.context["adminform"].form.errors
    assert not BusinessCalendar.objects.exists()


def test_a_calendar_may_close_at_midnight(desk, acme):
    desk.post(reverse("admin:accounts_businesscalendar_add"), calendar_data(acme, closes_at="00:00"))

    assert BusinessCalendar.objects.get().closes_at == time(0)
