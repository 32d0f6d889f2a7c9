"""Business calendars in the admin."""

from datetime import date, time

import pytest
import time_machine
from django.urls import reverse

from accounts.models import BusinessCalendar
from auditlog.models import Entry

WHY = {"change_reason": "Two people from now on"}
NONE = {"breaks-TOTAL_FORMS": 0, "breaks-INITIAL_FORMS": 0}


def page(calendar):
    return reverse("admin:accounts_businesscalendar_change", args=[calendar.pk])


def calendar_data(acme, **changes):
    kept = {"organization": acme.pk, "weekdays": ["0", "1", "4"], "opens_at": "09:00", "closes_at": "17:30"}
    return {**kept, "holidays": "2026-12-25\r\n\r\n2026-12-26\r\n", **NONE, **WHY, **changes}


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


def breaks_data(calendar, *spans):
    rows = list(calendar.breaks.all()) if calendar is not None else []
    data = {"breaks-TOTAL_FORMS": len(spans), "breaks-INITIAL_FORMS": len(rows)}
    for index, (starts_at, ends_at) in enumerate(spans):
        data |= {f"breaks-{index}-starts_at": starts_at, f"breaks-{index}-ends_at": ends_at}
    return data | {f"breaks-{index}-id": row.pk for index, row in enumerate(rows)}


def test_public_holidays_are_shown_and_moved(desk, acme):
    add = reverse("admin:accounts_businesscalendar_add")
    data = calendar_data(acme, country="GB", subdivision="SCT", weekdays=list("01234"), holidays="2027-01-11")

    assert "Known parts: ENG, NIR, SCT, WLS." in desk.post(add, {**data, "subdivision": "XX"}).content.decode()
    both = desk.post(add, {**data, "worked_days": "2027-01-11"})
    assert both.context["adminform"].form.errors["worked_days"] == ["2027-01-11 cannot be a day off and a day worked."]
    with time_machine.travel("2026-11-21T12:00:00Z", tick=False):
        assert desk.post(add, {**data, "worked_days": "2027-01-01"}).status_code == 302
        text = desk.get(page(BusinessCalendar.objects.get())).content.decode()

    assert "<li>Fri 25 Dec 2026, Christmas Day</li>" in text
    assert "<li>Mon 11 Jan 2027, day off</li>" in text
    assert "Fri 1 Jan 2027" not in text  # worked all the same
    assert "<li>Mon 30 Nov 2026, " in text  # in Scotland


@pytest.mark.parametrize(
    ("shift", "spans", "says"),
    [
        ("09:00-17:30", [("08:30", "09:30")], "not within the working hours"),
        ("09:00-17:30", [("12:00", "13:00"), ("12:30", "13:30")], "Two breaks overlap at 12:30."),
        ("09:00-17:30", [("09:00", "17:30")], "The breaks leave no time to work."),
        ("09:00-17:30", [("12:00", "12:00")], "accounts_dailybreak_lasts"),
        ("22:00-06:00", [("12:00", "13:00")], "not within the working hours"),
        ("09:00-17:30", [("12:00", "12:45"), ("15:00", "15:15")], ""),
        ("22:00-06:00", [("01:45", "02:30"), ("23:45", "00:15")], ""),
        ("00:00-00:00", [("12:00", "12:30"), ("23:30", "00:00")], ""),
    ],
)
def test_breaks_lie_within_the_hours_and_beside_each_other(desk, acme, shift, spans, says):
    opens, closes = shift.split("-")
    data = {**calendar_data(acme, opens_at=opens, closes_at=closes), **breaks_data(None, *spans)}

    answer = desk.post(reverse("admin:accounts_businesscalendar_add"), data)

    if says:
        assert says in answer.content.decode()
        assert not BusinessCalendar.objects.exists()
    else:
        assert answer.status_code == 302
        assert BusinessCalendar.objects.get().breaks.count() == len(spans)


def test_a_break_that_changes_is_recorded_with_its_calendar(desk, acme):
    desk.post(
        reverse("admin:accounts_businesscalendar_add"),
        {**calendar_data(acme), **breaks_data(None, ("12:00", "12:30"))},
    )
    calendar = BusinessCalendar.objects.get()

    desk.post(page(calendar), {**calendar_data(acme), **breaks_data(calendar, ("12:00", "13:00"))})

    lunch = calendar.breaks.get()
    assert Entry.objects.order_by("pk").last().after == {f"break {lunch.pk}": {"ends_at": "13:00:00"}}
