"""The watchdog: what stops, grows or is missing becomes an alert within three minutes, and goes by itself."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations.models import Endpoint, Notice
from integrations.states import ActionState
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch import findings, watchdog, work
from opsdesk.watch.heartbeats import database_now
from tests import factories
from tests.opsdesk.beats import DAY, HOUR, MINUTE, TASKS, age, seen
from tests.races import at_once
from workflows.models import Alert, Run, Workflow
from workflows.states import RunState, Tier

# Whatever stops, people know it within three minutes.
PROMISED = timedelta(minutes=3)


def look() -> set[tuple[str, str]]:
    """Look now, whoever looked when; returns kind and subject of the alerts that stand."""
    Heartbeat.objects.filter(kind=HeartbeatKind.WATCHDOG).update(last_seen_at=database_now() - MINUTE)
    watchdog.look()
    return set(Alert.objects.open().values_list("kind", "subject"))


@pytest.mark.usefixtures("healthy")
def test_a_healthy_desk_has_no_alerts():
    assert look() == set()


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize(
    ("name", "alerts"),
    [
        ("work-1:1", {("beat_stopped", "beat")}),
        (
            "work-1:2",
            {("worker_died", "work-1:2"), ("queue_unserved", "queue engine"), ("queue_unserved", "queue actions")},
        ),
        ("work-1:3", {("worker_died", "work-1:3"), ("queue_unserved", "queue default")}),
        *((task, {("task_silent", f"task {task}")}) for task in TASKS),
    ],
)
def test_what_falls_silent_is_told_within_three_minutes_and_is_over_when_it_is_seen_again(name, alerts):
    age(name, timedelta(seconds=30))
    assert look() == set()

    # The look after next comes within the time that is left.
    age(name, PROMISED - 2 * watchdog.EVERY)
    assert look() == alerts
    assert all("tart" in alert.words or "Look" in alert.words for alert in Alert.objects.open())

    age(name, timedelta(0))
    assert look() == set()
    assert Alert.objects.count() == len(alerts)


@pytest.mark.usefixtures("healthy")
def test_a_worker_that_was_asked_to_end_is_not_missed():
    seen(HeartbeatKind.WORKER, "work-1:9", queues=["actions", "engine"], ago=5 * MINUTE, ended_at=database_now())

    assert look() == set()


@pytest.mark.usefixtures("healthy")
def test_one_start_replaces_one_that_died():
    queues = {"queues": ["actions", "engine"]}
    seen(HeartbeatKind.WORKER, "work-1:7", ago=6 * MINUTE, **queues)
    seen(HeartbeatKind.WORKER, "work-1:8", ago=5 * MINUTE, **queues)
    assert look() == {("worker_died", "work-1:7"), ("worker_died", "work-1:8")}

    seen(HeartbeatKind.WORKER, "work-2:1", started_at=database_now() - 2 * MINUTE, **queues)
    assert look() == {("worker_died", "work-1:8")}

    seen(HeartbeatKind.WORKER, "work-2:2", started_at=database_now() - MINUTE, **queues)
    assert look() == set()


@pytest.mark.usefixtures("healthy")
def test_a_process_that_was_taken_away_is_forgotten_after_a_day():
    seen(HeartbeatKind.WORKER, "work-1:7", ago=DAY + MINUTE, queues=["actions", "engine"])

    assert look() == set()
    assert not Heartbeat.objects.filter(name="work-1:7").exists()


@pytest.mark.usefixtures("healthy")
def test_a_desk_that_was_off_for_a_day_is_given_a_minute_to_start():
    Heartbeat.objects.update(last_seen_at=database_now() - 20 * HOUR)

    watchdog.look()
    assert not Alert.objects.exists()

    Heartbeat.objects.filter(kind=HeartbeatKind.WATCHDOG).update(started_at=database_now() - 2 * MINUTE)
    assert {kind for kind, _ in look()} == {"beat_stopped", "worker_died", "queue_unserved", "task_silent"}


@pytest.mark.usefixtures("db")
def test_a_desk_of_which_nothing_ever_ran_says_so():
    watchdog.look()
    assert not Alert.objects.exists()

    Heartbeat.objects.filter(kind=HeartbeatKind.WATCHDOG).update(started_at=database_now() - 2 * MINUTE)
    assert {kind for kind, _ in look()} == {"beat_stopped", "queue_unserved", "task_silent"}


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize(("seconds", "words"), [(400, "6 min ahead of"), (-30, "30 s behind"), (5, "")])
def test_a_host_whose_clock_is_wrong_is_named(seconds, words):
    now = database_now()
    skew = timedelta(seconds=seconds)
    Heartbeat.objects.filter(kind=HeartbeatKind.WORKER).update(last_seen_at=now, host_clock=now + skew)

    assert look() == ({("clock_skew", "host work-1")} if words else set())
    assert all(words in alert.words for alert in Alert.objects.all())


def test_the_turn_is_taken_once(db):
    first, second = watchdog.take_turn(), watchdog.take_turn()

    assert first is not None and second is None


@pytest.mark.django_db(transaction=True)
def test_of_several_who_look_at_once_one_has_the_turn():
    watchdog.take_turn()
    for _ in range(10):
        Heartbeat.objects.filter(kind=HeartbeatKind.WATCHDOG).update(last_seen_at=database_now() - MINUTE)
        turns = at_once(*[watchdog.take_turn] * 4)

        assert sum(turn is not None for turn in turns) == 1, turns


@pytest.mark.usefixtures("healthy")
def test_a_check_that_breaks_leaves_its_alerts_and_holds_up_no_other(monkeypatch):
    age("work-1:1", 5 * MINUTE)
    look()

    def broken(moment):
        raise RuntimeError("the check is broken")

    checks = [findings.Check(each.kind, each.title, each.find) for each in watchdog.CHECKS]
    checks[0] = findings.Check("beat_stopped", "The clock stands still", broken)
    monkeypatch.setattr(watchdog, "CHECKS", tuple(checks))
    age("work-1:1", timedelta(0))
    age("work-1:3", 5 * MINUTE)

    assert look() == {
        ("beat_stopped", "beat"), ("worker_died", "work-1:3"), ("queue_unserved", "queue default"),
    }  # fmt: skip


# Queues.


@pytest.fixture
def late_row(organization, cast):
    """One row of a kind that has been due for so long."""

    def make(kind: str, ago: timedelta) -> None:
        then = database_now() - ago
        if kind == "events":
            factories.at(factories.make_event(organization), received_at=then)
            return
        run = factories.make_run(factories.make_case(organization), state=RunState.WAITING)
        if kind == "runs":
            Run.objects.filter(pk=run.pk).update(wake_at=then)
        elif kind == "reviews":
            factories.make_review(run.case, state="approving", settles_at=then)
        elif kind == "windows":
            factories.make_review(run.case, tier=Tier.FAST_TRACK, objection_ends_at=then)
        elif kind == "actions":
            factories.make_action(run, due_at=then)
        elif kind == "notices":
            Notice.objects.create(
                organization=organization, recipient=cast.ada, channel="mail", subject="Hello", body="Hello", path="/",
                case=run.case, topic=f"tried:{run.pk}", due_at=then,
            )  # fmt: skip
        elif kind == "payments":
            factories.make_payment(run.case, reread_at=then)

    return make


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("kind", ["events", "runs", "reviews", "windows", "actions", "notices", "payments"])
def test_a_queue_of_which_the_oldest_waits_too_long_is_told_with_its_depth(late_row, kind):
    late_row(kind, MINUTE)
    assert look() == set()

    late_row(kind, PROMISED - 2 * watchdog.EVERY)

    assert look() == {("queue_grows", f"queue of {kind}")}
    words = Alert.objects.get().words
    assert words.startswith("2 ") and "the oldest for 2 min" in words


@pytest.mark.usefixtures("healthy")
def test_work_that_a_switch_holds_back_is_no_queue_that_grows(late_row):
    late_row("runs", DAY)
    late_row("actions", DAY)
    Workflow.objects.update(enabled=False)

    assert look() == set()


@pytest.mark.usefixtures("healthy")
def test_a_queue_is_counted_only_as_far_as_it_is_said(late_row, monkeypatch):
    monkeypatch.setattr("opsdesk.watch.due.DEEPEST", 2)
    for _ in range(4):
        late_row("events", DAY)

    look()

    assert Alert.objects.get().words.startswith("more than 2 events that nobody has looked at, the oldest for 1 d.")


@pytest.mark.usefixtures("healthy")
def test_a_look_costs_the_same_however_much_there_is(late_row):
    for kind in ("events", "runs"):
        late_row(kind, timedelta(0))
    look()
    with CaptureQueriesContext(connection) as few:
        look()
    for _ in range(15):
        late_row("events", timedelta(0))
        late_row("runs", timedelta(0))
    with CaptureQueriesContext(connection) as many:
        look()

    assert len(many) == len(few) <= 85


# Workflows.


@pytest.fixture
def refunds(organization, healthy):
    """A workflow whose runs began by a habit: so many in the hour before this one, so many weeks long."""
    # Without summer time, so that the habit is the same whatever the date of the test.
    organization.time_zone = "UTC"
    organization.save(update_fields=["time_zone"])
    workflow = Workflow.objects.get(organization=organization)

    def begin(count: int, *, ago: timedelta) -> Workflow:
        runs = [factories.make_run(factories.make_case(organization), state=RunState.SUCCEEDED) for _ in range(count)]
        Run.objects.filter(pk__in=[run.pk for run in runs]).update(started_at=database_now() - ago)
        return workflow

    return begin


QUARTER = timedelta(minutes=15)
WEEK = timedelta(weeks=1)


def weeks_of_habit(refunds, count=5, *, weeks=4, ago=QUARTER):
    for week in range(1, weeks + 1):
        workflow = refunds(count, ago=week * WEEK + ago)
    return workflow


def test_a_workflow_that_usually_begins_by_now_and_has_not_is_told(refunds):
    workflow = weeks_of_habit(refunds)

    assert look() == {("workflow_quiet", f"workflow {workflow.pk}")}
    alert = Alert.objects.get()
    assert alert.organization == workflow.organization
    assert "has begun for 1 h" in alert.words and "at least 5 did in each of the last 4 weeks" in alert.words

    refunds(1, ago=MINUTE)
    assert look() == set()


def test_one_that_begins_seldom_is_missed_after_a_day(refunds):
    workflow = weeks_of_habit(refunds, ago=timedelta(hours=20))

    assert look() == {("workflow_quiet", f"workflow {workflow.pk}")}
    assert "has begun for 1 d" in Alert.objects.get().words


@pytest.mark.parametrize(
    "habit",
    [
        {"weeks": 3},  # not known for long enough
        {"count": 4},  # too few to tell silence from chance
        {"ago": timedelta(hours=30)},  # another hour of the week
    ],
)
def test_what_is_no_habit_is_not_missed(refunds, habit):
    weeks_of_habit(refunds, **habit)

    assert look() == set()


@pytest.mark.parametrize("switch", ["workflow", "organization", "version"])
def test_a_workflow_that_is_off_is_not_missed(refunds, switch):
    workflow = weeks_of_habit(refunds)
    if switch == "workflow":
        Workflow.objects.update(enabled=False)
    elif switch == "organization":
        workflow.organization.acting_enabled = False
        workflow.organization.save()
    else:
        workflow.versions.get(state="published").move_to("retired")

    assert look() == set()


def test_weeks_are_counted_on_the_clock_on_the_wall(organization):
    """The last Sunday of October 2026: London leaves summer time at 01:00 UTC."""
    workflow = Workflow.objects.get(organization=organization)
    asked = []

    def began(_, after, until):
        asked.append((after.astimezone(UTC).strftime("%d %H:%M"), until.astimezone(UTC).strftime("%d %H:%M")))
        return 0 if len(asked) == 1 else 5

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "_began", began)
        work.missing(workflow, Run.objects.all(), datetime(2026, 10, 26, 10, 0, tzinfo=UTC))

    assert asked[:3] == [("26 09:00", "26 10:00"), ("19 08:00", "19 09:00"), ("12 08:00", "12 09:00")]


# Webhooks.


@pytest.mark.usefixtures("healthy")
def test_webhooks_refused_for_their_time_are_told_with_the_skew(organization):
    endpoint = Endpoint.objects.filter(organization=organization).first()
    Endpoint.objects.filter(pk=endpoint.pk).update(refused_at=database_now(), refused_skew=-360)

    assert look() == {("webhooks_refused", f"endpoint {endpoint.pk}")}
    assert "6 min behind our clock" in Alert.objects.get().words

    Endpoint.objects.update(refused_at=database_now() - 20 * MINUTE)
    assert look() == set()


def test_actions_in_doubt_are_looked_at_like_any_other(healthy, organization):
    run = factories.make_run(factories.make_case(organization), state=RunState.WAITING)
    factories.make_action(run, state=ActionState.UNKNOWN, due_at=database_now() - DAY)

    assert ("queue_grows", "queue of actions") in look()
