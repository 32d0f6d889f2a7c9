"""Failures: the groups, one of them, and the buttons."""

import pytest
from django.urls import reverse

from auditlog.models import Entry
from tests import factories
from tests.plugins.pages import MOST_STATEMENTS, cost, text_of
from workflows import replaying
from workflows.models import Failure, Replay
from workflows.states import FailureState
from workflows.views.failures import words_of

FAILURES = "/failures/"
CHANGES = ("acknowledge", "hand_over_failure", "resolve", "replay", "stop_replay", "ignore_failure", "heed_failure")


@pytest.fixture
def failure(organization):
    return factories.make_failure(organization, items=7, message="Ledger refuses the note.")


def address(name, failure):
    return reverse(f"workflows:{name}", args=[failure.pk])


def test_groups_say_how_many_runs_they_stop_and_the_newest_stands_open(organization, cast, sign_in, failure):
    newest = factories.make_failure(organization, items=2, message="The payment is unknown.")

    response = sign_in(cast.maya).get(FAILURES)

    assert [(group.message, group.stopped) for group in response.context["groups"]] == [
        ("The payment is unknown.", 2), ("Ledger refuses the note.", 7),
    ]  # fmt: skip
    assert response.context["chosen"] == newest
    assert "9 runs stopped in 2 groups." in text_of(response)


def test_one_failure_shows_its_runs_their_money_and_one_five_all(cast, sign_in, failure):
    response = sign_in(cast.maya).get(address("failure", failure))

    text = text_of(response)
    assert "7 runs, £990.36" in text
    assert response.context["counts"] == [(1, "Replay 1")]
    for item in failure.items.all():
        assert f"RUN-{item.run_id}" in text and f"CASE-{item.run.case_id}" in text


@pytest.mark.parametrize(
    ("count", "stopped", "words"), [(1, 1, "Replay 1"), (1, 7, "Replay 1"), (5, 7, "Replay 5"), (7, 7, "Replay all 7")]
)
def test_a_button_says_how_many_it_tries(count, stopped, words):
    assert words_of(count, stopped) == words


def test_taking_it_on_makes_it_mine(cast, sign_in, failure):
    client = sign_in(cast.maya)

    response = client.post(address("acknowledge", failure))

    assert response.status_code == 302
    failure.refresh_from_db()
    assert failure.owner == cast.maya
    assert "You" in text_of(client.get(address("failure", failure)))


def test_it_is_handed_to_one_of_those_who_may_repair(cast, sign_in, failure):
    client, place = sign_in(cast.maya), address("hand_over_failure", failure)
    page = client.get(address("failure", failure))
    offered = [str(member.user) for member in page.context["hand_over_form"].fields["to"].queryset]
    of = {str(member.user): member.pk for member in page.context["hand_over_form"].fields["to"].queryset}

    nobody = client.post(place, {"reason": "Please"})
    unheard = client.post(place, {"to": cast.ada.memberships.get().pk, "reason": "Please"})
    given = client.post(place, {"to": of["Tomasz Kowal"], "reason": "He knows the gateway"}, follow=True)

    assert offered == ["Maya Nowak", "Tomasz Kowal"]
    assert (nobody.status_code, unheard.status_code) == (422, 422)
    assert "This field is required" in text_of(nobody)
    assert "is with Tomasz Kowal now." in text_of(given)
    failure.refresh_from_db()
    assert failure.owner == cast.tomasz
    later = client.get(address("failure", failure)).context["hand_over_form"].fields["to"].queryset
    assert [str(member.user) for member in later] == ["Maya Nowak"]


def test_a_replay_shows_how_far_it_is_and_stops_on_demand(cast, sign_in, failure):
    client = sign_in(cast.maya)

    begun = client.post(address("replay", failure), {"count": 1, "reason": "August is open again."}, follow=True)
    replaying.go_on()
    part = client.get(address("failure", failure), headers={"HX-Request": "true"})
    stopped = client.post(address("stop_replay", failure), follow=True)

    assert "Maya Nowak has 1 run tried again: 0 went on." in text_of(begun)
    assert b"<html" not in part.content
    assert f"RUN-{failure.items.order_by('pk').first().run_id} is at it" in text_of(part)
    assert "after 0 of 1 went on. Maya Nowak stopped it." in text_of(stopped)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"count": 1}, 422),
        ({"count": 1, "reason": " "}, 422),
        ({"reason": "x"}, 422),
        ({"count": 0, "reason": "x"}, 422),
        ({"count": "all", "reason": "x"}, 422),
        ({"count": 1, "reason": "x", "corrected": "amount", "value": "1"}, 422),
        ({"count": 1, "reason": "x", "corrected": "customer"}, 409),
        ({"count": 5, "reason": "x"}, 409),
    ],
)
def test_an_odd_form_tries_nothing(cast, sign_in, failure, sent, status):
    response = sign_in(cast.maya).post(address("replay", failure), sent)

    assert response.status_code == status
    assert not Replay.objects.exists()


def test_who_may_not_correct_is_not_asked_for_a_correction(cast, sign_in, failure):
    client = sign_in(cast.tomasz)

    client.post(address("replay", failure), {"count": 1, "reason": "x", "corrected": "customer", "value": "17549"})

    assert Replay.objects.get().corrected == ""


def test_what_was_tried_is_listed_with_what_became_of_it(cast, sign_in, failure):
    client = sign_in(cast.maya)
    client.post(address("replay", failure), {"count": 1, "reason": "Mended."})
    replaying.go_on()

    text = text_of(client.get(address("failure", failure)))

    assert "Repaired" in text and "tried again" in text


def test_an_ignored_failure_moves_to_its_own_view_and_back(cast, sign_in, failure):
    client = sign_in(cast.maya)

    odd = client.post(address("ignore_failure", failure), {"minutes": 7, "reason": "Known."})
    client.post(address("ignore_failure", failure), {"minutes": 60, "reason": "Known."})

    assert odd.status_code == 422
    assert list(client.get(FAILURES).context["groups"]) == []
    assert list(client.get(f"{FAILURES}?state=ignored").context["groups"]) == [failure]
    assert "Ignored until" in text_of(client.get(address("failure", failure)))
    client.post(address("heed_failure", failure))
    assert list(client.get(FAILURES).context["groups"]) == [failure]


def test_resolving_asks_for_a_reason_and_for_no_run_under_it(organization, cast, sign_in, failure):
    client = sign_in(cast.maya)
    empty = factories.make_failure(organization, items=0)

    refused = client.post(address("resolve", failure), {"reason": "Away with it."})
    without_reason = client.post(address("resolve", empty), {"reason": ""})
    resolved = client.post(address("resolve", empty), {"reason": "It was a drill."})

    assert (refused.status_code, without_reason.status_code, resolved.status_code) == (409, 422, 302)
    assert "Runs are still stopped by this" in text_of(refused)
    assert set(Failure.objects.values_list("pk", "state")) == {
        (failure.pk, FailureState.OPEN), (empty.pk, FailureState.RESOLVED),
    }  # fmt: skip


def test_resolved_failures_have_a_view_of_their_own(organization, cast, sign_in, failure):
    closed = factories.make_failure(organization, items=0, state=FailureState.RESOLVED, message="Long ago.")
    client = sign_in(cast.maya)

    assert list(client.get(FAILURES).context["groups"]) == [failure]
    assert list(client.get(f"{FAILURES}?state=resolved").context["groups"]) == [closed]


def test_an_empty_desk_says_that_nothing_needs_repair(organization, cast, sign_in):
    assert "Nothing needs repair" in text_of(sign_in(cast.maya).get(FAILURES))


@pytest.mark.parametrize("who", ["ada", "ines"])
@pytest.mark.parametrize("what", CHANGES)
def test_who_may_not_repair_reads_and_changes_nothing(cast, sign_in, failure, who, what):
    client = sign_in(getattr(cast, who))

    page = client.get(address("failure", failure))
    refused = client.post(address(what, failure), {"count": 1, "reason": "Let me."})

    assert "Your role reads failures" in text_of(page)
    assert refused.status_code == 403
    assert not Entry.objects.filter(verb__in=["workflows.failure.acknowledged", "workflows.run.repaired"]).exists()


def test_failures_of_another_organization_are_not_there(organization, cast, sign_in):
    other, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    theirs = factories.make_failure(other)
    client = sign_in(cast.maya)

    assert client.get(address("failure", theirs)).status_code == 404
    for what in CHANGES:
        assert client.post(address(what, theirs), {"count": 1, "reason": "Mine."}).status_code == 404
    assert list(client.get(FAILURES).context["groups"]) == []


def test_a_message_from_outside_is_shown_as_text(organization, cast, sign_in):
    factories.make_failure(organization, message="<img src=x onerror=alert(1)> \u202e")

    html = sign_in(cast.maya).get(FAILURES).content.decode()

    assert "<img" not in html
    assert "[U+202E]" in html


def test_the_page_costs_the_same_with_many_groups_and_runs(organization, cast, sign_in):
    client = sign_in(cast.maya)
    for _ in range(5):
        factories.make_failure(organization)
    few = cost(client, FAILURES)
    for _ in range(54):
        factories.make_failure(organization)
    factories.make_failure(organization, items=60)

    assert cost(client, FAILURES) == few <= MOST_STATEMENTS
