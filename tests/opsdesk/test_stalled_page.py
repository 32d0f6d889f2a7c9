"""Stalled: every kind of waiting, why, against what is usual, and what helps."""

from datetime import timedelta

import pytest
from django.urls import reverse

from approvals import asking
from integrations.models import Connection
from integrations.states import ActionState, BreakState
from opsdesk.lib import clock
from opsdesk.screens import stalls
from opsdesk.templatetags.ui import icon
from tests import factories
from tests.plugins.pages import HTMX, MOST_STATEMENTS, cost, text_of
from workflows.models import RuleSet
from workflows.states import CaseState, EventState, RunState, Tier, WaitsFor
from workflows.waits import Look, waiting_kinds

STALLED = "/stalled/"
HOUR = timedelta(hours=1)


def found(cast, kind, who="maya", *, everything=False):
    """The rows of one kind as a person sees them."""
    member = getattr(cast, who).memberships.get()
    groups = {group.kind.key: group for group in stalls.groups(Look(member, clock.now(), everything))}
    return [row.waiting for row in groups[kind].rows] if kind in groups else []


def under_way(organization, state, *, age=HOUR, **fields):
    """An action that was made and sent so long ago."""
    action = factories.make_action(factories.make_run(factories.make_case(organization)), state=state, **fields)
    then = clock.now() - age
    sent = {"first_sent_at": then} if action.first_sent_at else {}
    return factories.at(action, created_at=then, due_at=clock.now(), **sent)


@pytest.mark.parametrize(
    ("state", "title"),
    [
        (ActionState.UNKNOWN, "Refund: answer unknown"),
        (ActionState.SENDING, "Refund: being sent"),
        (ActionState.SUCCEEDED, "Refund: accepted, not verified"),
        (ActionState.RESERVED, "Refund: not sent yet"),
    ],
)
def test_money_that_is_not_certain_is_listed_with_its_calls(organization, cast, state, title):
    action = under_way(organization, state)

    [thing] = found(cast, "money")

    assert (thing.title, thing.detail) == (title, f"CASE-{action.case_id}, £141.48")
    assert thing.help.url == reverse("workflows:run", args=[action.run_id])
    assert thing.by_desk


def test_money_held_by_a_paused_connection_leads_to_the_switch(organization, cast):
    action = under_way(organization, ActionState.RESERVED)
    type(action.connection).objects.update(acting_enabled=False, paused_reason="Month end.")

    [thing] = found(cast, "money")

    assert thing.reason == "Sending through Gateway is paused. Month end."
    assert (thing.help.label, thing.help.url) == ("Open the connection", reverse("integrations:connections"))


@pytest.mark.parametrize("state", [ActionState.VERIFIED, ActionState.FAILED, ActionState.MISMATCHED])
def test_money_that_is_settled_is_not_listed(organization, cast, state):
    action = factories.make_action(factories.make_run(factories.make_case(organization)), state=state, due_at=None)
    factories.at(action, created_at=clock.now() - HOUR)

    assert found(cast, "money") == []


def test_what_was_just_sent_is_on_its_way(organization, cast):
    under_way(organization, ActionState.SENDING, age=timedelta(seconds=30))

    assert found(cast, "money") == []


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        (
            {"state": RunState.WAITING, "waits_for": WaitsFor.CONNECTION, "reason": "Gateway is down."},
            "Open the connection",
        ),
        ({"state": RunState.WAITING, "waits_for": WaitsFor.RETRY, "reason": "Try 2."}, "Try it now"),
        ({"state": RunState.READY}, "Open the run"),
        ({"state": RunState.RUNNING}, "Open the run"),
    ],
)
def test_runs_that_wait_for_a_system_or_for_a_worker_are_listed(organization, cast, fields, label):
    run = factories.make_run(factories.make_case(organization), **fields)
    then = clock.now() - HOUR
    moments = {RunState.WAITING: "waiting_since", RunState.READY: "wake_at", RunState.RUNNING: "lease_until"}
    factories.at(run, **{moments[run.state]: then})

    [thing] = found(cast, "runs")

    assert thing.since == then
    assert thing.help.label == label
    assert thing.reason


def test_a_run_that_waits_for_a_review_is_told_by_its_review(organization, cast):
    run = factories.make_run(factories.make_case(organization), state=RunState.WAITING)
    factories.at(run, waiting_since=clock.now() - HOUR)

    assert found(cast, "runs") == []


def test_a_late_review_names_who_has_it_and_opens_the_case(organization, cast):
    case = factories.make_case(organization, party_name="The Tin Robin")
    factories.make_review(case, assignee=cast.ben, due_at=clock.now() - HOUR)

    [thing] = found(cast, "reviews")

    assert (thing.title, thing.owner, thing.reason) == (
        "The Tin Robin", cast.ben, "Ben Marsh has it and it is late.",
    )  # fmt: skip
    assert thing.help.url == reverse("approvals:case", args=[case.pk])
    assert found(cast, "reviews", "ben")[0].reason == "It waits for you and is late."


@pytest.mark.parametrize(("who", "label"), [("maya", "Give it to somebody"), ("ada", "Open the case")])
def test_a_review_on_which_nobody_may_vote_goes_to_whoever_can_reassign_it(organization, cast, who, label):
    factories.make_review(factories.make_case(organization), blocked_reason="Nobody in Refunds may vote on this case.")

    [thing] = found(cast, "reviews", who)

    assert thing.reason == "Nobody in Refunds may vote on this case."
    assert thing.help.label == label


def test_a_review_in_time_is_not_listed(organization, cast):
    factories.make_review(factories.make_case(organization), assignee=cast.ada)

    assert found(cast, "reviews") == []


def test_a_fast_track_case_whose_notice_did_not_arrive_is_listed(organization, cast):
    waits = factories.make_review(factories.make_case(organization, amount="75.00"), tier=Tier.FAST_TRACK)
    factories.at(waits, opened_at=clock.now() - HOUR)
    started = factories.make_review(
        factories.make_case(organization, amount="76.00"),
        tier=Tier.FAST_TRACK,
        objection_ends_at=clock.now() + HOUR,
    )
    factories.at(started, opened_at=clock.now() - HOUR)

    [thing] = found(cast, "windows")

    assert thing.detail == f"CASE-{waits.case_id}, £75.00"
    assert thing.reason == "The notice has not arrived, so its clock has not started."


def asked(review, by, *, age):
    """A question that was put so long ago; its link is good for fourteen days."""
    question, _ = asking.ask(review.pk, by=by, text="Which parcel\u202e came back?")
    then = clock.now() - age
    return factories.at(question, asked_at=then, expires_at=then + asking.LINK_LIFE)


def test_a_question_without_an_answer_is_listed_under_whoever_asked(organization, cast):
    late = factories.make_review(factories.make_case(organization, party_name="The Tin Robin"), assignee=cast.ada)
    asked(late, cast.ada, age=timedelta(days=2))
    asked(factories.make_review(factories.make_case(organization)), cast.ada, age=HOUR)
    answered = asked(factories.make_review(factories.make_case(organization)), cast.ada, age=timedelta(days=2))
    asking.answer_by_person(answered.pk, by=cast.ben, text="The blue one.")

    [thing] = found(cast, "questions")

    assert (thing.title, thing.owner, thing.help.label) == ("The Tin Robin", cast.ada, "Open the case")
    assert thing.reason == "No answer yet. Ada Okafor asked: Which parcel[U+202E] came back?"
    assert len(found(cast, "questions", everything=True)) == 2
    assert found(cast, "runs") == []


@pytest.mark.parametrize("kind", waiting_kinds(), ids=lambda kind: kind.key)
def test_every_kind_has_a_picture_that_exists(kind):
    assert icon(kind.icon).startswith("<svg")


def test_a_question_whose_link_has_expired_is_helped_by_a_new_one(organization, cast, sign_in):
    review = factories.make_review(factories.make_case(organization), assignee=cast.ada)
    asked(review, cast.ada, age=timedelta(days=15))

    [thing] = found(cast, "questions", "ada")
    response = sign_in(cast.ada).post(thing.help.url)

    assert thing.reason.startswith("The link for the answer has expired. Ada Okafor asked:")
    assert (thing.help.label, thing.help.posts) == ("Make a new link", True)
    assert (response.status_code, "/answers/" in response.content.decode()) == (200, True)
    assert found(cast, "questions", "ada")[0].help.label == "Open the case"
    assert found(cast, "questions", "ines")[0].help.posts is False


@pytest.mark.parametrize(
    ("who", "label", "address"),
    [("maya", "Take it on", "workflows:acknowledge"), ("ada", "Open the failure", "workflows:failure")],
)
def test_a_failure_without_owner_asks_whoever_may_mend_it(organization, cast, who, label, address):
    failure = factories.make_failure(organization, items=2, message="Ledger refuses.")
    factories.make_failure(organization, owner=cast.maya, state="acknowledged")

    [thing] = found(cast, "failures", who)

    assert (thing.title, thing.reason) == ("Ledger refuses.", "2 runs stopped. Nobody has taken it on.")
    assert (thing.help.label, thing.help.url) == (label, reverse(address, args=[failure.pk]))
    assert thing.help.posts is (who == "maya")


def test_events_that_nobody_could_read_or_has_looked_at_are_listed(organization, cast):
    odd = factories.make_event(organization, b"not JSON", state=EventState.QUARANTINED)
    left = factories.at(factories.make_event(organization), received_at=clock.now() - HOUR)
    old = factories.make_event(organization, b"old", state=EventState.QUARANTINED)
    factories.at(old, received_at=clock.now() - timedelta(days=8))

    things = {thing.title: thing for thing in found(cast, "events")}

    assert set(things) == {f"Event {odd.pk}", f"Event {left.pk}"}
    assert things[f"Event {odd.pk}"].reason == "The body is not JSON."
    assert things[f"Event {left.pk}"].reason == "No worker has looked at it."


def test_a_payment_that_could_not_be_read_again_is_listed(organization, cast):
    case = factories.make_case(organization)
    payment = factories.make_payment(case, reread_at=clock.now() + timedelta(seconds=20))
    factories.make_call(payment.connection, outcome="infrastructure")

    [thing] = found(cast, "payments")

    assert thing.title == payment.reference
    factories.make_call(payment.connection)
    assert found(cast, "payments") == []


def test_usual_is_what_nine_in_ten_of_the_same_sort_stayed_within_once_there_is_enough(organization, cast):
    def decided(minutes, tier=Tier.FULL_REVIEW):
        review = factories.make_review(factories.make_case(organization, state=CaseState.DONE), tier=tier)
        closed = clock.now()
        type(review).objects.filter(pk=review.pk).update(state="void", closed_at=closed)
        factories.at(review, opened_at=closed - timedelta(minutes=minutes))

    late = factories.make_review(factories.make_case(organization), due_at=clock.now() - HOUR)
    factories.at(late, opened_at=clock.now() - 2 * HOUR)
    for minutes in range(1, 20):
        decided(minutes)
    decided(600, Tier.FAST_TRACK)
    look = Look(cast.maya.memberships.get(), clock.now())

    [few] = stalls.groups(look)
    decided(20)
    [enough] = stalls.groups(look)

    assert (few.rows[0].known, few.rows[0].usual_words) == (False, "at most 4 h")
    # Of 1, 2 … 20 minutes nine tenths lie below 1 + 0.9 × 19 = 18.1.
    assert (enough.rows[0].known, enough.rows[0].usual) == (True, timedelta(minutes=18, seconds=6))
    assert enough.rows[0].beyond == pytest.approx(120 / 18.1, rel=0.01)


def test_a_run_paused_for_long_goes_on_by_one_button(organization, cast, sign_in):
    run = factories.make_run(factories.make_case(organization), state=RunState.WAITING, waits_for=WaitsFor.RETRY)
    type(run).objects.filter(pk=run.pk).update(paused_at=clock.now() - timedelta(days=2), paused_why="Maya: month end.")

    [thing] = found(cast, "runs")
    response = sign_in(cast.maya).post(thing.help.url, {"reason": thing.help.reason})
    run.refresh_from_db()

    assert (thing.help.label, thing.help.posts, thing.reason) == ("Let it go on", True, "Paused by Maya: month end.")
    assert (response.status_code, run.paused_at) == (302, None)
    assert found(cast, "runs", "ada") == []


def test_a_breaker_is_open_since_its_alert_was_raised(organization, cast):
    breaker = factories.make_open_breaker(Connection.objects.get())
    alert = factories.make_alert(organization, kind="breaker", subject=str(breaker))
    factories.at(alert, since=clock.now() - 3 * HOUR)

    [thing] = found(cast, "breakers")

    assert (thing.title, thing.reason) == ("Gateway: refund is held", breaker.reason)
    assert clock.now() - thing.since >= 3 * HOUR
    assert thing.help.url == reverse("integrations:connection", args=[breaker.connection_id])


def test_a_difference_that_nobody_settled_leads_to_its_page(organization, cast):
    odd = factories.at(factories.make_break(organization), found_at=clock.now() - timedelta(days=2))
    factories.make_break(organization)
    factories.make_break(organization, state=BreakState.GONE, closed_at=clock.now())

    [thing] = found(cast, "differences")

    assert (thing.reason, thing.help.url) == (odd.words, reverse("integrations:difference", args=[odd.pk]))


def test_a_draft_that_nobody_published_is_listed_for_whoever_may(organization, cast):
    rules = RuleSet.objects.get(workflow__organization=organization)
    draft = RuleSet.objects.create(workflow=rules.workflow, number=rules.number + 1)
    fresh = RuleSet.objects.create(workflow=rules.workflow, number=rules.number + 2)
    factories.at(draft, drafted_at=clock.now() - timedelta(days=9))

    assert [thing.title for thing in found(cast, "rules", "tomasz")] == [str(draft)]
    assert [thing.title for thing in found(cast, "rules", "tomasz", everything=True)] == [str(draft), str(fresh)]
    assert found(cast, "rules", "maya") == []


def test_all_that_waits_is_shown_on_request(organization, cast, sign_in):
    factories.make_review(factories.make_case(organization), assignee=cast.ada)
    waits = factories.make_run(factories.make_case(organization), state=RunState.WAITING, waits_for=WaitsFor.TIME)
    client = sign_in(cast.maya)

    assert client.get(STALLED).context["groups"] == []
    groups = client.get(f"{STALLED}?show=all").context["groups"]

    assert {group.kind.key for group in groups} == {"reviews", "runs"}
    assert f"RUN-{waits.pk}" in text_of(client.get(f"{STALLED}?show=all&kind=runs"))


def test_the_farthest_beyond_normal_stands_first(organization, cast):
    factories.at(factories.make_failure(organization), first_at=clock.now() - 2 * HOUR)
    late = factories.make_review(factories.make_case(organization), due_at=clock.now() - HOUR)
    factories.at(late, opened_at=clock.now() - 40 * HOUR)

    keys = [group.kind.key for group in stalls.groups(Look(cast.maya.memberships.get(), clock.now()))]

    assert keys == ["reviews", "failures"]


def test_the_number_beside_the_navigation_is_that_of_the_page(organization, cast, sign_in):
    fill(organization, cast, 2)
    factories.make_open_breaker(Connection.objects.get())
    # A run whose action is held stands once: among the work under way.
    held = under_way(organization, ActionState.RESERVED)
    type(held.run).objects.filter(pk=held.run_id).update(
        state=RunState.WAITING, waits_for=WaitsFor.CONNECTION, reason="Held.", wake_at=None,
        waiting_since=clock.now() - HOUR,
    )  # fmt: skip

    response = sign_in(cast.maya).get(STALLED)

    shown = response.context["total"]
    numbers = [
        item.count for group in response.context["nav"].groups for item in group.items if item.label == "Stalled"
    ]
    assert numbers == [shown] == [2 * 6 + 2]


def fill(organization, cast, count):
    """So many stalled things of every kind."""
    for _ in range(count):
        under_way(organization, ActionState.UNKNOWN)
        run = factories.make_run(factories.make_case(organization), state="waiting", waits_for="retry")
        factories.at(run, waiting_since=clock.now() - HOUR)
        late = factories.make_review(factories.make_case(organization), assignee=cast.ada, due_at=clock.now() - HOUR)
        factories.at(late, opened_at=clock.now() - HOUR)
        window = factories.make_review(factories.make_case(organization), tier=Tier.FAST_TRACK)
        factories.at(window, opened_at=clock.now() - HOUR)
        factories.at(factories.make_failure(organization), first_at=clock.now() - HOUR)
        event = factories.make_event(organization, state=EventState.QUARANTINED)
        factories.at(event, received_at=clock.now() - HOUR)


def test_the_page_groups_by_kind_and_shows_age_against_usual(organization, cast, sign_in):
    action = under_way(organization, ActionState.UNKNOWN, age=timedelta(hours=1, minutes=52))
    factories.make_failure(organization, message="Ledger refuses.")

    response = sign_in(cast.maya).get(STALLED)

    text = text_of(response)
    assert "2 things wait longer than they should." in text
    assert "Work under way outside 1, £141.48" in text
    assert f"CASE-{action.case_id}, £141.48 No answer came. It was asked 1 time, and is asked again." in text
    assert 'aria-label="waits 1 h 52, at most 1 min"' in response.content.decode()


def test_kind_and_owner_are_chosen_in_the_address(organization, cast, sign_in):
    fill(organization, cast, 1)
    client = sign_in(cast.maya)

    def kinds(query):
        return {group.kind.key for group in client.get(f"{STALLED}?{query}").context["groups"]}

    assert kinds("") == {"money", "runs", "reviews", "windows", "failures", "events"}
    assert kinds("kind=reviews") == {"reviews"}
    assert kinds("owner=desk") == {"money", "runs"}
    assert kinds("owner=nobody") == {"windows", "failures", "events"}
    assert kinds(f"owner={cast.ada.pk}") == {"reviews"}
    assert kinds(f"owner={cast.ada.pk}&kind=money") == {"reviews"}
    assert kinds("kind=nonsense&owner=nonsense") == kinds("")


def test_nothing_stuck_is_said_in_words(organization, cast, sign_in):
    text = text_of(sign_in(cast.ada).get(STALLED))

    assert "Nothing waits longer than it should." in text
    assert "Nothing is stuck" in text


def test_another_organization_is_not_seen(organization, cast, sign_in):
    other, strangers = factories.make_desk("elsewhere", suffix="-elsewhere")
    fill(other, strangers, 1)

    assert sign_in(cast.maya).get(STALLED).context["groups"] == []


def test_a_poll_gets_the_fragment_and_then_nothing_new(organization, cast, sign_in):
    fill(organization, cast, 1)
    client = sign_in(cast.maya)

    first = client.get(STALLED, headers=HTMX)
    again = client.get(STALLED, headers={**HTMX, "If-None-Match": first.headers["ETag"]})

    assert "<html" not in first.content.decode() and "csrfmiddlewaretoken" not in first.content.decode()
    assert again.status_code == 304


def test_the_number_of_statements_does_not_grow_with_rows(organization, cast, sign_in):
    client = sign_in(cast.maya)
    fill(organization, cast, 1)
    few = cost(client, STALLED)
    fill(organization, cast, 9)

    assert cost(client, STALLED) == few <= MOST_STATEMENTS + 6  # one a kind that anybody sees
