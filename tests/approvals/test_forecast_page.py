"""The forecast of a queue: what it is measured from, the levers it finds, and the page."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.urls import reverse

from accounts.calendar import Hours
from accounts.models import BusinessCalendar
from approvals import forecasting, levers
from approvals.models import Stage, Vote
from tests import factories
from tests.plugins.pages import HTMX, cost, text_of

# A Monday, eleven in the morning in London.
NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
FORECAST = "/escalations/forecast/"
MINUTE, HOUR, WEEK = timedelta(minutes=1), timedelta(hours=1), timedelta(weeks=1)
MOST = 22


@pytest.fixture(autouse=True)
def _eleven():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def nine_to_five(organization):
    BusinessCalendar.objects.filter(organization=organization).update(
        weekdays=[0, 1, 2, 3, 4], opens_at="09:00", closes_at="17:00"
    )
    return organization


def measured(organization, cast):
    [queue] = forecasting.queues(cast.maya.memberships.get())
    return forecasting.measure(queue, organization)


def opened(organization, at, *, amount="141.48", done=True, **fields):
    """A review that was opened then; `done`: and closed an hour later."""
    fields = {"due_at": at + 4 * HOUR, **({"state": "void", "closed_at": at + HOUR} if done else {}), **fields}
    review = factories.make_review(factories.make_case(organization, amount=amount), **fields)
    return factories.at(review, opened_at=at)


def voted(review, voter, at):
    return factories.at(factories.make_vote(review, voter), cast_at=at)


def hours(opens, closes, *, weekdays=range(7), zone="Europe/London"):
    return Hours(ZoneInfo(zone), frozenset(weekdays), opens, closes, frozenset())


def test_arrivals_are_those_of_the_same_weekday_and_hour(nine_to_five, cast):
    for week, count in ((1, 3), (2, 1)):
        for _ in range(count):
            opened(nine_to_five, NOW - week * WEEK + 20 * MINUTE)
    opened(nine_to_five, NOW - timedelta(days=1))

    day = measured(nine_to_five, cast)

    assert day.basis == "the last 2 Mondays"
    assert [hour.arrivals for hour in day.day.hours] == [2, 0, 0, 0, 0, 0]
    assert day.past == [(date(2026, 11, 16), [3, 0, 0, 0, 0, 0]), (date(2026, 11, 9), [1, 0, 0, 0, 0, 0])]
    # Four hours of work after eleven are three in the afternoon.
    assert day.day.hours[0].due_of_arrivals == NOW + 4 * HOUR


def test_a_young_desk_looks_at_the_days_before_and_then_at_today(nine_to_five, cast):
    assert measured(nine_to_five, cast).past == []
    opened(nine_to_five, NOW - 2 * HOUR)
    opened(nine_to_five, NOW - HOUR)
    today = measured(nine_to_five, cast)
    opened(nine_to_five, NOW - timedelta(days=3))

    days = measured(nine_to_five, cast)

    assert (today.basis, today.day.hours[0].arrivals) == ("today so far", 1)
    assert (days.basis, days.day.hours[0].arrivals) == ("the last working day", 1)


def test_what_is_left_of_an_hour_gets_its_part(nine_to_five, cast):
    opened(nine_to_five, NOW - WEEK)
    with time_machine.travel(NOW + 45 * MINUTE, tick=False):
        first = measured(nine_to_five, cast).day.hours[0]

    assert (first.length, first.arrivals) == (15 * MINUTE, 0.25)


def test_handling_is_the_middle_of_the_gaps_between_decisions_of_one_person():
    votes = [(1, NOW), (2, NOW + MINUTE), (1, NOW + 3 * MINUTE), (1, NOW + 8 * MINUTE), (1, NOW + 2 * HOUR)]

    assert forecasting.gaps_of(votes) == [3 * MINUTE, 5 * MINUTE]


def test_handling_and_people_come_from_decisions_once_there_are_enough(nine_to_five, cast):
    few = measured(nine_to_five, cast)
    for place in range(21):
        review = opened(nine_to_five, NOW - timedelta(days=2))
        voted(review, cast.ada, NOW - timedelta(days=2) + place * 4 * MINUTE)
    enough = measured(nine_to_five, cast)
    voted(opened(nine_to_five, NOW - HOUR), cast.ben, NOW - HOUR)
    today = measured(nine_to_five, cast)

    assert (few.day.handling, few.handling_known) == (forecasting.ASSUMED_HANDLING, 0)
    assert set(few.on) == {cast.ada, cast.ben, cast.maya}
    assert (enough.day.handling, enough.handling_known) == (4 * MINUTE, 20)
    assert (list(enough.on), enough.on_today) == ([cast.ada], False)
    assert (list(today.on), today.on_today) == ([cast.ben], True)
    assert Vote.objects.count() == 22


@pytest.mark.parametrize(
    ("calendar", "stretches"),
    [
        (hours(datetime(1, 1, 1, 9).time(), datetime(1, 1, 1, 13).time()), [(11, 12), (12, 13)]),  # noqa: DTZ001
        (hours(datetime(1, 1, 1, 13).time(), datetime(1, 1, 1, 15).time()), [(13, 14), (14, 15)]),  # noqa: DTZ001
        (hours(datetime(1, 1, 1, 8).time(), datetime(1, 1, 1, 10).time()), []),  # noqa: DTZ001
        (hours(datetime(1, 1, 1, 9).time(), datetime(1, 1, 1, 13).time(), weekdays=[5]), []),  # noqa: DTZ001
        (hours(datetime(1, 1, 1, 22).time(), datetime(1, 1, 1, 12).time()), [(11, 12)]),  # noqa: DTZ001
    ],
)
def test_the_rest_of_the_day_follows_the_calendar(calendar, stretches):
    found = forecasting.rest_of_day(calendar, NOW)

    assert [(starts.hour, ends.hour) for starts, ends in found] == stretches


def test_late_reviews_are_counted_for_each_hour_that_passed(nine_to_five, cast):
    opened(nine_to_five, NOW - WEEK, done=False, due_at=NOW - timedelta(days=1), assignee=cast.ada)
    opened(nine_to_five, NOW - timedelta(days=1), due_at=NOW - 90 * MINUTE, state="void", closed_at=NOW - 30 * MINUTE)
    opened(nine_to_five, NOW - timedelta(days=1), done=False, due_at=NOW + HOUR)

    assert [count for _, count in measured(nine_to_five, cast).so_far] == [1, 2, 1]


def short_of_people(organization, cast):
    """Three people who need ten minutes each, and sixty reviews due within two hours of which they do thirty-six."""
    for place in range(60):
        opened(organization, NOW - WEEK - HOUR, done=False, due_at=NOW + 2 * HOUR, amount=f"{101 + place}.00")
    return levers.forecast(measured(organization, cast), forecasting.queues(cast.maya.memberships.get()), "GBP")


def test_levers_are_offered_where_something_will_be_late(nine_to_five, cast):
    quiet = levers.forecast(measured(nine_to_five, cast), [], "GBP")
    found = short_of_people(nine_to_five, cast)

    assert [lever.key for lever in quiet.levers] == ["none"]
    assert (found.breaches, found.outcome.first_at) == (24, NOW + 2 * HOUR)
    people = found.levers[0]
    # Two more do twelve an hour: with them sixty are done in two hours.
    assert (people.key, people.label, people.until, people.late) == (
        "people",
        "2 more people for 2 hours",
        NOW + 2 * HOUR,
        0,
    )


def test_a_higher_limit_takes_a_share_of_the_arrivals_away(nine_to_five, cast):
    found = short_of_people(nine_to_five, cast)

    limit = next(lever for lever in found.levers if lever.key == "limit")

    # A quarter of £101 … £160 stays below £116, which people would call £120: that is twenty of sixty.
    assert limit.label == "Full-review limit £100.00 to £120.00"
    assert limit.detail.startswith("20 of the last 60 would not have come")


def test_people_of_another_team_who_have_nothing_open_can_help(nine_to_five, cast):
    team = factories.make_team(nine_to_five, "disputes")
    zoe = factories.make_member(nine_to_five, "zoe", "operator", first_name="Zoe", teams=(team,))
    settings = forecasting.queues(cast.maya.memberships.get())[0].places[0][0]
    Stage.objects.create(tier_id=settings, position=1, team=team)
    for place in range(60):
        opened(nine_to_five, NOW - WEEK - HOUR, done=False, due_at=NOW + 2 * HOUR, amount=f"{101 + place}.00")
    queues = forecasting.queues(cast.maya.memberships.get())

    found = levers.forecast(forecasting.measure(queues[1], nine_to_five), queues, "GBP")

    [lever] = [lever for lever in found.levers if lever.place == "team"]
    assert [queue.team.name for queue in queues] == ["Disputes", "Refunds"]
    assert lever.label == "Disputes helps, 1 person"
    assert str(zoe) in lever.detail


def test_the_page_says_how_many_when_and_what_it_assumes(nine_to_five, cast, sign_in):
    short_of_people(nine_to_five, cast)

    response = sign_in(cast.maya).get(f"{FORECAST}?lever=limit")

    text = text_of(response)
    assert "24 reviews will become late before" in text
    assert "takes a person 10 min" in text
    assert "assumed: too few decisions are known" in text
    assert "3 of 3" in text
    assert response.context["chosen"].key == "limit"
    assert 'class="alt"' in response.content.decode()


def test_after_work_the_page_says_so(nine_to_five, cast, sign_in):
    with time_machine.travel(NOW + 9 * HOUR, tick=False):
        assert "Nobody works any more today" in text_of(sign_in(cast.maya).get(FORECAST))


def test_the_page_is_for_managers_and_its_fragment_stands_alone(nine_to_five, cast, sign_in):
    assert sign_in(cast.ada).get(FORECAST).status_code == 403
    fragment = sign_in(cast.maya).get(FORECAST, headers=HTMX).content.decode()

    assert "<html" not in fragment
    assert 'id="forecast"' in fragment
    assert reverse("approvals:forecast") in sign_in(cast.maya).get("/escalations/").content.decode()


def test_the_number_of_statements_does_not_grow_with_rows(nine_to_five, cast, sign_in):
    client = sign_in(cast.maya)
    short_of_people(nine_to_five, cast)
    few = cost(client, FORECAST)
    for place in range(30):
        opened(nine_to_five, NOW - WEEK - HOUR, done=False, due_at=NOW + 2 * HOUR, amount=f"{101 + place}.00")

    assert cost(client, FORECAST) == few <= MOST
