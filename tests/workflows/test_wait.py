"""The step kind `wait`: for a time, by the business calendar, until a fact holds, until an event arrives."""

import json
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any

import pytest
import time_machine
from django.db.models.functions import Now

from accounts.models import BusinessCalendar, Organization
from tests.factories import make_organization
from workflows import registry
from workflows.engine.context import RunContext
from workflows.engine.intake import take_in
from workflows.engine.outcomes import Done
from workflows.engine.repairing import retry
from workflows.models import Event, Failure, Run
from workflows.publishing import check, import_pack, publish_pack
from workflows.tasks import tick

pytestmark = pytest.mark.django_db
_numbers = count(1)
FRIDAY = datetime(2027, 10, 29, 14, tzinfo=UTC)  # 16:00 in Berlin; on Sunday the clock goes back
HOLDS = [{"fact": "order.on_file", "operator": "is_true"}]


@pytest.fixture
def organization() -> Organization:
    organization = make_organization("waits", time_zone="Europe/Berlin")
    BusinessCalendar.objects.filter(organization=organization).update(
        weekdays=[0, 1, 2, 3, 4], opens_at=time(9), closes_at=time(17)
    )
    return organization


def pack(*steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "Waits", "slug": "waits", "case_kind": "wait", "opened_by": "wait.asked",
        "fields": {"key": "reference"}, "steps": list(steps),
    }  # fmt: skip


def wait(**config: Any) -> dict[str, Any]:
    return {"key": "rest", "kind": "wait", "config": config}


def hear(organization: Organization, kind: str, **data: Any) -> Event:
    body = json.dumps({"type": kind, "data": data}).encode()
    event = Event.objects.create(
        organization=organization, source="test/shop", dedupe_key=str(next(_numbers)), reader="standard", body=body,
        body_hash="0" * 64,
    )  # fmt: skip
    while take_in():
        pass
    event.refresh_from_db()
    return event


def begin(organization: Organization, *steps: dict[str, Any]) -> Run:
    """A run of these steps, at the first that waits."""
    publish_pack(organization, pack(*steps), by=None, reason="For a test.")
    hear(organization, "wait.asked", reference="W1")
    tick()
    return Run.objects.get()


def wake(run: Run) -> Run:
    """Let the workers look at the run, as they would when its time has come by the database's clock."""
    Run.objects.filter(pk=run.pk, state="waiting").update(wake_at=Now())
    tick()
    run.refresh_from_db()
    return run


@pytest.mark.parametrize(
    ("config", "until", "says"),
    [
        ({"for_minutes": 90}, FRIDAY + timedelta(minutes=90), "Waits for 1 h 30, until Fri 29 Oct 2027 17:30"),
        (
            {"business_minutes": 240},
            datetime(2027, 11, 1, 11, tzinfo=UTC),
            "Waits for 4 h of working time, until Mon 1 Nov 2027 12:00",
        ),
        (
            {"next_working_day": "09:00"},
            datetime(2027, 11, 1, 8, tzinfo=UTC),
            "Waits for the next working day at 09:00, until Mon 1 Nov 2027 09:00",
        ),
    ],
)
def test_it_rests_until_the_time_and_says_so(organization, config, until, says):
    with time_machine.travel(FRIDAY, tick=False):
        run = begin(organization, wait(**config), {"key": "more", "kind": "wait", "config": {"for_minutes": 5}})

    assert (run.state, run.waits_for, run.wake_at, run.waiting_since) == ("waiting", "time", until, FRIDAY)
    assert run.reason == f"{says}; then the step more follows."
    assert run.case.standing == run.reason

    with time_machine.travel(until - timedelta(seconds=1), tick=False):
        early = wake(run)
        assert (early.state, early.position, early.wake_at) == ("waiting", 0, until)
    with time_machine.travel(until, tick=False):
        assert wake(run).position == 1


def test_the_last_wait_ends_the_case(organization):
    with time_machine.travel(FRIDAY, tick=False):
        run = begin(organization, wait(for_minutes=5))
        assert run.reason.endswith("then the case is done.")
    with time_machine.travel(FRIDAY + timedelta(minutes=5), tick=False):
        run = wake(run)

    assert (run.state, run.kept, run.case.state) == ("succeeded", {}, "done")
    assert [step.note for step in run.steps.all()][-1] == "Waited until Fri 29 Oct 2027 16:05."


def test_a_calendar_that_changes_meanwhile_does_not_move_the_end(organization):
    with time_machine.travel(FRIDAY, tick=False):
        run = begin(organization, wait(business_minutes=240))
        BusinessCalendar.objects.update(holidays=["2027-11-01"])
    with time_machine.travel(datetime(2027, 11, 1, 11, tzinfo=UTC), tick=False):
        assert wake(run).state == "succeeded"


def test_a_calendar_that_never_opens_stops_the_run_for_a_person(organization):
    BusinessCalendar.objects.update(weekdays=[])

    run = begin(organization, wait(business_minutes=240))

    assert (run.state, run.case.state) == ("failed", "failed")
    assert "no working time" in Failure.objects.get().message


class Facts:
    """Stands in for `gather`: the facts of the test, asked outside once a turn."""

    name = "gather"
    asks_outside = True
    moves_money = starts_over = False

    def __init__(self) -> None:
        self.on_file: bool | None = False
        self.asked = 0

    def check(self, config: Any) -> list[str]:
        return []

    def fetch(self, contexts: Any) -> None:
        for context in contexts:
            self.asked += 1
            context.fetched = self.on_file

    def perform(self, context: RunContext) -> Done:
        context.run.facts = {"order.on_file": {"value": context.fetched, "source": "shop", "at": "now"}}
        return Done()


@pytest.fixture
def facts(monkeypatch):
    found = Facts()
    monkeypatch.setitem(registry.step_kinds, "gather", found)
    return found


GATHER = {"key": "look", "kind": "gather"}
UNTIL = {"until": HOLDS, "every_minutes": 10, "at_most_hours": 2}


def test_it_looks_again_until_the_fact_holds(organization, facts):
    with time_machine.travel(FRIDAY, tick=False):
        run = begin(organization, GATHER, wait(**UNTIL, then="fail"))

    assert (run.waits_for, run.wake_at) == ("fact", FRIDAY + timedelta(minutes=10))
    assert run.reason == (
        "Waits until order on file holds; looked at every 10 min and when the payment changes. "
        "At the latest Fri 29 Oct 2027 18:00 it stops for a person."
    )
    with time_machine.travel(FRIDAY + timedelta(minutes=10), tick=False):
        assert wake(run).wake_at == FRIDAY + timedelta(minutes=20)
    facts.on_file = True
    with time_machine.travel(FRIDAY + timedelta(minutes=20), tick=False):
        run = wake(run)
    assert (run.state, facts.asked, run.waiting_since) == ("succeeded", 3, None)
    assert run.steps.last().note == "It holds: order on file holds."


def test_a_fact_that_holds_at_once_is_not_waited_for(organization, facts):
    facts.on_file = True

    run = begin(organization, GATHER, wait(**UNTIL, then="fail"))

    assert (run.state, facts.asked) == ("succeeded", 1)


@pytest.mark.parametrize(("then", "state"), [("fail", "failed"), ("go_on", "succeeded")])
def test_a_fact_that_never_comes_goes_to_a_person_or_on(organization, facts, then, state):
    facts.on_file = None
    with time_machine.travel(FRIDAY, tick=False):
        run = begin(organization, GATHER, wait(**UNTIL, then=then))
    with time_machine.travel(FRIDAY + timedelta(hours=2), tick=False):
        run = wake(run)

    assert run.state == state
    assert "It does not hold after 2 h: order on file holds." in run.steps.last().note
    assert Failure.objects.filter(kind="data").count() == (state == "failed")


def test_whoever_tries_again_waits_anew(organization, facts):
    from tests.definitions import make_member

    with time_machine.travel(FRIDAY, tick=False):
        run = begin(organization, GATHER, wait(**UNTIL, then="fail"))
    with time_machine.travel(FRIDAY + timedelta(hours=3), tick=False):
        wake(run)
        retry(run.pk, by=make_member(organization, "maya"), reason="The shop was late")
        tick()

    run.refresh_from_db()
    assert (run.state, run.waits_for) == ("waiting", "fact")
    assert "Fri 29 Oct 2027 21:00" in run.reason


PARCEL = {"event": "parcel.received", "at_most_hours": 48}


def test_an_event_with_the_key_of_the_case_wakes_it(organization):
    run = begin(organization, wait(**PARCEL, then="fail"))
    assert (run.waits_for, run.kept["event"]) == ("event", "parcel.received")
    assert run.reason.startswith("Waits for parcel.received about W1. At the latest ")

    strange = hear(organization, "parcel.received", reference="W2")
    other = hear(organization, "parcel.lost", reference="W1")
    mine = hear(organization, "parcel.received", reference="W1")
    tick()

    run.refresh_from_db()
    assert (run.state, run.case.state) == ("succeeded", "done")
    assert (mine.state, mine.case_id, mine.reason) == ("processed", run.case_id, f"Was told to {run.case}.")
    assert (strange.state, strange.reason) == ("ignored", "No open case has the key that it names.")
    assert other.reason == "Nothing is subscribed to “parcel.lost”."


def test_an_event_that_came_before_the_step_has_come(organization):
    steps = [wait(for_minutes=5), {"key": "parcel", "kind": "wait", "config": {**PARCEL, "then": "fail"}}]
    with time_machine.travel(FRIDAY, tick=False):
        run = begin(organization, *steps)
        hear(organization, "parcel.received", reference="W1")
    with time_machine.travel(FRIDAY + timedelta(minutes=5), tick=False):
        run = wake(run)

    assert run.state == "succeeded"


@pytest.mark.parametrize(("then", "state"), [("fail", "failed"), ("go_on", "succeeded")])
def test_an_event_that_never_comes_goes_to_a_person_or_on(organization, then, state):
    with time_machine.travel(FRIDAY, tick=False):
        run = begin(organization, wait(**PARCEL, then=then))
    with time_machine.travel(FRIDAY + timedelta(hours=48), tick=False):
        run = wake(run)

    assert run.state == state
    assert "No parcel.received arrived within 48 h." in run.steps.last().note


def test_an_event_reaches_nobody_elses_case(organization):
    run = begin(organization, wait(**PARCEL, then="fail"))

    hear(make_organization("other"), "parcel.received", reference="W1")
    tick()

    run.refresh_from_db()
    assert run.state == "waiting"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "wait has exactly one of"),
        ({"for_minutes": 5, "business_minutes": 5}, "wait has exactly one of"),
        ({"for_minutes": 5, "then": "fail"}, "no setting “then” beside for_minutes"),
        ({"for_minutes": 0}, "from 1 to"),
        ({"for_minutes": True}, "from 1 to"),
        ({"business_minutes": "240"}, "from 1 to"),
        ({"next_working_day": "9:00"}, "a time on the wall"),
        ({"next_working_day": 540}, "a time on the wall"),
        ({"until": [], "at_most_hours": 1, "then": "fail"}, "at least one condition"),
        ({"until": [{"fact": "moon", "operator": "is_true"}], "at_most_hours": 1, "then": "fail"}, "no fact “moon”"),
        ({"until": HOLDS, "then": "fail"}, "no wait is for ever"),
        ({"until": HOLDS, "at_most_hours": 1}, "then is fail or go_on"),
        ({"until": HOLDS, "at_most_hours": 1, "then": "fail", "every_minutes": 0}, "every_minutes"),
        ({"until": HOLDS, "at_most_hours": 1, "then": "fail", "match": "some"}, "match is all or any"),
        ({"event": "two words", "at_most_hours": 1, "then": "fail"}, "event is an event's type"),
        ({"event": "wait.asked", "at_most_hours": 1, "then": "fail"}, "opens or withdraws a case already"),
        ({"event": "parcel.received", "then": "fail"}, "no wait is for ever"),
        ({"until": HOLDS, "at_most_hours": 1, "then": "fail"}, "needs a step of the kind gather before it"),
    ],
)
def test_a_wait_that_could_not_end_is_not_published(organization, config, says):
    draft = import_pack(organization, pack(wait(**config)), by=None, reason="Try")

    assert any(text.startswith("Step rest: ") and says in text for text in check(draft))


def test_news_for_the_desk_itself_reaches_no_case(organization):
    kind = next(iter(registry.news))
    draft = import_pack(organization, pack(wait(event=kind, at_most_hours=1, then="fail")), by=None, reason="Try")

    assert any("news for the desk itself" in text for text in check(draft))


def test_facts_do_not_change_under_a_decision(organization):
    steps = [GATHER, {"key": "decide", "kind": "decide"}, wait(**UNTIL, then="fail"), {"key": "ask", "kind": "approve"}]
    draft = import_pack(organization, pack(*steps), by=None, reason="Try")

    assert any("would void the consent" in text for text in check(draft))
