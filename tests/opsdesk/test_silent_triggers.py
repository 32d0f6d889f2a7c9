"""Triggers that should have fired and have not: the watchdog tells of each, and of no other."""

from datetime import timedelta

import pytest

from accounts.models import Organization
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch import watchdog
from opsdesk.watch.heartbeats import database_now
from tests import factories
from tests.opsdesk.beats import DAY, MINUTE
from tests.workflows.triggers.conftest import publish, trigger
from workflows.models import Alert, Pulse, Run, Workflow
from workflows.states import RunState
from workflows.triggers import firing

NIGHTLY = trigger("schedule", cron="30 2 * * *")
ASK = trigger("form", title="Ask", fields=[{"name": "what", "label": "What is to be done"}])
WEEK = timedelta(weeks=1)


def look() -> set[tuple[str, str]]:
    """Look now; returns kind and subject of the alerts about triggers."""
    Heartbeat.objects.filter(kind=HeartbeatKind.WATCHDOG).update(last_seen_at=database_now() - MINUTE)
    watchdog.look()
    return set(Alert.objects.open().filter(kind="trigger_silent").values_list("kind", "subject"))


def late(age: timedelta) -> Pulse:
    """The only trigger's slot was so long ago."""
    Pulse.objects.update(next_at=database_now() - age, looked_at=None)
    return Pulse.objects.get()


@pytest.fixture
def nightly(organization: Organization, healthy: None) -> Workflow:
    """A workflow that a schedule begins, in a zone without summer time, and looked at."""
    organization.time_zone = "UTC"
    organization.save(update_fields=["time_zone"])
    version = publish(organization, NIGHTLY)
    firing.look()
    return version.workflow


def test_a_slot_that_passed_without_a_run_is_told_and_is_over_when_it_fires(nightly):
    assert look() == set()
    late(timedelta(seconds=60))
    assert look() == set()

    late(3 * MINUTE)
    assert look() == {("trigger_silent", f"trigger {nightly.pk} by-schedule")}
    words = Alert.objects.open().get(kind="trigger_silent").words
    assert words.startswith("The trigger by-schedule of “Watch” (the clock shows 30 2 * * *) was due 3 min ago")

    assert firing.look() == 1
    assert look() == set()


def test_a_trigger_that_nobody_took_up_is_told(nightly):
    Pulse.objects.all().delete()
    assert look() == set()

    nightly.versions.update(published_at=database_now() - 3 * MINUTE)
    assert look() == {("trigger_silent", f"trigger {nightly.pk} by-schedule")}


def test_a_look_that_breaks_says_why(nightly):
    Pulse.objects.update(trouble="The calendar has no working time.")

    assert look() == {("trigger_silent", f"trigger {nightly.pk} by-schedule")}
    assert "cannot be looked at: The calendar has no working time." in Alert.objects.get(kind="trigger_silent").words


@pytest.mark.parametrize("switch", ["workflow", "organization"])
def test_what_is_switched_off_is_not_late(nightly, switch):
    late(DAY)
    if switch == "workflow":
        Workflow.objects.update(enabled=False)
    else:
        Organization.objects.update(acting_enabled=False)

    assert look() == set()


def test_a_desk_that_has_just_been_started_is_not_late(nightly):
    late(DAY)
    Heartbeat.objects.filter(kind=HeartbeatKind.WATCHDOG).update(last_seen_at=database_now() - DAY)

    watchdog.look()

    assert not Alert.objects.filter(kind="trigger_silent").exists()


def test_an_event_that_usually_comes_by_now_is_missed_though_others_come(organization, healthy):
    organization.time_zone = "UTC"
    organization.save(update_fields=["time_zone"])
    version = publish(organization, trigger("event", type="stock.low"), ASK)
    event, form = version.triggers.order_by("position")

    def began(cause, count, ago):
        for _ in range(count):
            run = factories.make_run(factories.make_case(organization), state=RunState.SUCCEEDED)
            place = {"workflow": version.workflow, "version": version, "trigger": cause}
            Run.objects.filter(pk=run.pk).update(started_at=database_now() - ago, **place)

    for week in range(1, 5):
        began(event, 5, week * WEEK + 15 * MINUTE)
    began(form, 1, MINUTE)

    assert look() == {("trigger_silent", f"trigger {version.workflow_id} by-event")}
    assert "the event stock.low arrives, and that has not happened for 1 h" in Alert.objects.get().words

    began(event, 1, MINUTE)
    assert look() == set()
