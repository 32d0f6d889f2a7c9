"""The day played through, against days worked out by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from approvals.forecast import Day, Hour, help_needed, play, with_arrivals, with_fewer, with_people

NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def at(hour, minute=0):
    return NINE.replace(hour=hour, minute=minute)


def day(*, people=1, arrivals=(0, 0, 0, 0), waiting=(), handling=20, due=2):
    """From nine on; who arrives in an hour is due so many hours after its beginning."""
    hours = [
        Hour(NINE + HOUR * place, NINE + HOUR * (place + 1), people, count, NINE + HOUR * (place + due))
        for place, count in enumerate(arrivals)
    ]
    return Day(list(waiting), hours, handling * MINUTE)


def test_a_day_worked_out_by_hand():
    # One person does 3 an hour. Seven wait: 2 due 09:30, 3 due 10:30, 2 due 12:30. Four more arrive an hour, due two
    # hours after the beginning of theirs.
    #  09-10: 7 + 4 (due 11:00); 3 taken (2 of 09:30, 1 of 10:30); none due by 10:00 is left.   waiting 8, late 0
    #  10-11: + 4 (due 12:00); 3 taken (2 of 10:30, 1 of 11:00); 3 of 11:00 left.               waiting 9, late 3
    #  11-12: + 4 (due 13:00); 3 taken (all late ones); 4 of 12:00 left.                        waiting 10, late 4
    #  12-13: + 4 (due 14:00); 3 taken; left 1 of 12:00, 2 of 12:30, 4 of 13:00.                waiting 11, late 7
    waiting = [at(9, 30)] * 2 + [at(10, 30)] * 3 + [at(12, 30)] * 2

    outcome = play(day(waiting=waiting, arrivals=(4, 4, 4, 4)))

    assert [(point.late, point.waiting) for point in outcome.points] == [(0, 8), (3, 9), (4, 10), (7, 11)]
    assert outcome.breaches == 3 + 4 + 6
    assert outcome.first_at == at(11)
    assert outcome.late_at_end == 7


def test_what_is_late_already_is_no_new_breach():
    outcome = play(day(waiting=[at(8)] * 5))

    assert [point.late for point in outcome.points] == [2, 0, 0, 0]
    assert (outcome.breaches, outcome.first_at) == (0, None)


def test_nobody_on_takes_nothing_and_the_first_is_late_when_it_is_due():
    outcome = play(day(people=0, waiting=[at(9, 45), at(12)]))

    assert [point.late for point in outcome.points] == [1, 1, 2, 2]
    assert outcome.first_at == at(9, 45)


def test_what_is_left_of_an_hour_counts_for_its_minutes():
    hours = [Hour(at(9, 40), at(10), 1, 0, at(12)), Hour(at(10), at(11), 1, 0, at(12))]

    outcome = play(Day([at(9, 50), at(9, 55)], hours, 20 * MINUTE))

    assert [point.waiting for point in outcome.points] == [1, 0]


def test_hours_that_nothing_is_left_for_are_spare():
    # 2 people do 6 an hour of 20 min: with 3 waiting half of the first hour is spare, one hour of one person.
    outcome = play(day(people=2, waiting=[at(12)] * 3))

    assert outcome.spare == pytest.approx([1, 2, 2, 2])


def test_parts_of_reviews_add_up():
    outcome = play(day(arrivals=(0.5, 0.5, 0.5, 0.5), handling=240))

    assert [point.waiting for point in outcome.points] == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_levers_change_only_what_they_say():
    today = day(waiting=[at(10)] * 9, arrivals=(4, 4, 4, 4))

    assert [hour.people for hour in with_people(today, 2, hours=2, after=1).hours] == [1, 3, 3, 1]
    assert [hour.arrivals for hour in with_fewer(today, 0.25).hours] == [3, 3, 3, 3]
    assert with_fewer(today, 0.25).waiting == today.waiting
    assert [hour.arrivals for hour in with_arrivals(today, (1, 2, 3, 4)).hours] == [1, 2, 3, 4]


def test_the_least_help_is_found():
    # Six are due by ten and one person does three: a second one for one hour does it.
    assert help_needed(day(waiting=[at(10)] * 6)) == (1, 1)
    # Nine by ten need two more; sixty need more than anybody has.
    assert help_needed(day(waiting=[at(10)] * 9)) == (2, 1)
    assert help_needed(day(waiting=[at(10)] * 60)) is None
    # Nothing becomes late by itself in an hour in which it could be taken, so the fewest hours are enough.
    assert help_needed(day(waiting=[at(10)] * 6 + [at(11)] * 6)) == (1, 2)
