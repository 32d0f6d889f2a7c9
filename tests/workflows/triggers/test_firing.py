"""Schedules, crossings and ages: each fires once, however many beats look, and catches up once after a pause."""

import threading
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connections

from accounts.models import BusinessCalendar
from integrations.models import Payment
from tests.factories import make_action, make_case, make_connection, make_run
from tests.workflows.triggers.conftest import opened, publish, trigger
from workflows.models import Event, Pulse, Run, Workflow
from workflows.publishing import new_draft
from workflows.publishing import publish as publish_version
from workflows.triggers.firing import look

NIGHTLY = trigger("schedule", cron="30 2 * * *")
BIG = trigger("change", record="payment", field="refunded", operator="above", value="100.00 GBP")
NOON = datetime(2027, 3, 26, 11, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_schedule_fires_at_its_slot_and_not_before(organization):
    publish(organization, NIGHTLY)

    slot = datetime(2027, 3, 27, 1, 30, tzinfo=UTC)
    assert [look(NOON), look(slot - timedelta(seconds=1)), look(slot)] == [0, 0, 1]

    assert opened() == ["by-schedule 2027-03-27 02:30"]
    run = Run.objects.get()
    assert (run.trigger.key, run.trigger.version_id) == ("by-schedule", run.version_id)
    assert run.case.data["slot"] == "2027-03-27T01:30:00+00:00"
    assert Pulse.objects.get().next_at == datetime(2027, 3, 28, 1, tzinfo=UTC)  # 02:30 is skipped that night


def test_two_beats_fire_a_slot_once(organization):
    publish(organization, NIGHTLY)
    look(NOON)
    due = Pulse.objects.get().next_at

    first, second = look(due), look(due)
    # Even if one of them had not seen that the other was there.
    Pulse.objects.update(next_at=due, looked_at=None)
    third = look(due)

    assert [first, second, third] == [1, 0, 0]
    assert Event.objects.count() == 1
    assert len(opened()) == 1


def test_after_a_pause_one_run_catches_up(organization):
    publish(organization, NIGHTLY)
    look(NOON)

    assert look(NOON + 10 * DAY) == 1

    assert opened() == ["by-schedule 2027-04-05 02:30"]
    assert look(NOON + 10 * DAY + timedelta(seconds=5)) == 0


def test_a_slot_that_came_twice_is_caught_up_though_its_second_time_has_not_come(organization):
    publish(organization, trigger("schedule", cron="45 2 * * *"))
    look(datetime(2027, 10, 30, 12, tzinfo=UTC))

    # 02:45 was at 00:45 UTC; at 01:30 UTC the clock shows 02:30 for the second time.
    assert look(datetime(2027, 10, 31, 1, 30, tzinfo=UTC)) == 1
    assert look(datetime(2027, 10, 31, 1, 50, tzinfo=UTC)) == 0

    assert opened() == ["by-schedule 2027-10-31 02:45"]


def test_a_schedule_that_stays_the_same_goes_on_over_a_new_version(organization):
    version = publish(organization, NIGHTLY)
    look(NOON)
    due = Pulse.objects.get().next_at

    publish_version(new_draft(version, by=None, reason="Edit"), by=None, reason="Edit")

    # The slot came while nobody looked, and the version changed meanwhile: it is not lost.
    assert look(due + timedelta(hours=1)) == 1
    opened()
    assert Run.objects.get().version.number == 2


def test_a_schedule_that_changed_begins_anew(organization):
    publish(organization, NIGHTLY)
    look(NOON)
    publish(organization, trigger("schedule", cron="0 13 * * *"))

    assert look(NOON + timedelta(minutes=5)) == 0

    assert Pulse.objects.get().next_at == datetime(2027, 3, 26, 12, tzinfo=UTC)


def test_a_workflow_that_is_switched_off_fires_nothing_and_catches_up_once(organization):
    publish(organization, NIGHTLY)
    look(NOON)
    Workflow.objects.update(enabled=False)

    off = look(NOON + 3 * DAY)
    Workflow.objects.update(enabled=True)

    assert (off, look(NOON + 3 * DAY)) == (0, 1)


def test_a_trigger_that_breaks_says_so_and_holds_up_no_other(organization):
    publish(organization, {**NIGHTLY, "key": "broken"}, {**NIGHTLY, "key": "sound"})
    look(NOON)
    Pulse.objects.filter(key="broken").update(next_at=NOON)
    due = Pulse.objects.get(key="sound").next_at

    with pytest.MonkeyPatch.context() as patch:
        from workflows.triggers import firing

        fire = firing._fire
        patch.setattr(firing, "_fire", lambda pulse, *told: 1 / 0 if pulse.key == "broken" else fire(pulse, *told))
        assert look(due) == 1

    assert "division" in Pulse.objects.get(key="broken").trouble
    assert len(opened()) == 1


@pytest.fixture
def payment(organization):
    return Payment.objects.create(
        organization=organization,
        connection=make_connection(organization),
        reference="pi_1",
        currency="GBP",
        captured_minor=50_000,
    )


def went_back(minor: int) -> None:
    Payment.objects.update(refunded_minor=minor)


def test_a_value_fires_once_each_time_it_crosses(organization, payment):
    publish(organization, BIG)
    fired, at = [look(NOON)], NOON

    for minor in (5_000, 10_000, 10_001, 20_000, 10_000, 30_000):
        went_back(minor)
        at += timedelta(seconds=15)
        fired.append(look(at))

    assert fired == [0, 0, 0, 1, 0, 0, 1]
    assert opened() == ["payment pi_1, 1", "payment pi_1, 2"]
    assert list(Event.objects.order_by("pk").values_list("dedupe_key", flat=True)) == [
        f"{payment.pk}:1",
        f"{payment.pk}:2",
    ]


def test_what_was_beyond_before_anybody_watched_has_not_crossed(organization, payment):
    went_back(20_000)
    publish(organization, BIG)

    assert [look(NOON), look(NOON + DAY)] == [0, 0]

    new = Payment.objects.create(
        organization=organization, connection=payment.connection, reference="pi_2", currency="GBP",
        captured_minor=50_000, refunded_minor=40_000,
    )  # fmt: skip
    assert look(NOON + 2 * DAY) == 1
    assert opened() == [f"payment {new.reference}, 1"]


def test_another_currency_and_another_organization_cross_nothing(organization, payment):
    from tests.factories import make_organization

    publish(organization, BIG)
    look(NOON)
    other = make_organization("other")
    Payment.objects.update(currency="EUR", refunded_minor=40_000)
    Payment.objects.create(
        organization=other, connection=make_connection(other), reference="pi_3", currency="GBP",
        captured_minor=50_000, refunded_minor=40_000,
    )  # fmt: skip

    assert look(NOON + DAY) == 0


@pytest.mark.parametrize(
    ("config", "change"),
    [
        ({"field": "overbooked", "operator": "is_true"}, {"overbooked": True}),
        ({"field": "reserved", "operator": "at_least", "value": "100.00 GBP"}, {"reserved_minor": 10_000}),
        ({"field": "captured", "operator": "below", "value": "400.00 GBP"}, {"captured_minor": 30_000}),
    ],
)
def test_every_operator_crosses_in_its_direction(organization, payment, config, change):
    publish(organization, trigger("change", record="payment", **config))
    before = look(NOON)

    Payment.objects.update(**change)

    assert (before, look(NOON + DAY), look(NOON + 2 * DAY)) == (0, 1, 0)


def office(organization) -> None:
    BusinessCalendar.objects.update_or_create(
        organization=organization,
        defaults={"weekdays": [0, 1, 2, 3, 4], "opens_at": time(9), "closes_at": time(17)},
    )


def test_an_item_fires_once_a_stay_by_the_business_calendar(organization):
    office(organization)
    publish(organization, trigger("age", record="run", standing="waiting", business_hours=4))
    friday = datetime(2027, 10, 29, 14, tzinfo=UTC)  # 16:00 in Berlin, and the clock changes on Sunday
    case = make_case(organization, kind="errand")
    run = make_run(case, state="waiting", waiting_since=friday)
    before, after = datetime(2027, 11, 1, 10, 59, tzinfo=UTC), datetime(2027, 11, 1, 11, tzinfo=UTC)

    assert [look(friday + timedelta(hours=5)), look(before), look(after), look(after + DAY)] == [0, 0, 1, 0]

    again = after + DAY
    Run.objects.filter(pk=run.pk).update(waiting_since=again)
    assert [look(again + timedelta(hours=2)), look(again + DAY)] == [0, 1]
    assert len(opened()) == 2


def test_an_item_that_has_moved_on_does_not_fire(organization):
    publish(organization, trigger("age", record="action", standing="unverified", business_hours=1))
    action = make_action(make_run(make_case(organization, kind="refund")))
    look(NOON)

    assert action.state != "succeeded"
    assert look(NOON + DAY) == 0


def test_two_beats_at_once_fire_a_crossing_once(transactional_db, organization, payment):
    publish(organization, BIG, NIGHTLY)
    look(NOON)
    went_back(20_000)
    start, fired = threading.Barrier(3), []

    def beat() -> None:
        start.wait()
        try:
            fired.append(look(NOON + DAY))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=beat) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(fired) == 2
    assert Event.objects.count() == 2


def test_a_slot_keeps_to_the_wall_when_the_zone_changes_under_it(organization):
    publish(organization, trigger("schedule", cron="0 7 * * *"))
    look(NOON)
    assert Pulse.objects.get().next_at == datetime(2027, 3, 27, 6, tzinfo=UTC)

    organization.time_zone = "Asia/Kathmandu"
    organization.save(update_fields=["time_zone"])
    look(NOON + timedelta(minutes=1))

    moved = datetime(2027, 3, 27, 1, 15, tzinfo=UTC)
    assert Pulse.objects.get().next_at == moved
    assert [look(moved - timedelta(seconds=1)), look(moved), look(moved + timedelta(hours=5))] == [0, 1, 0]
