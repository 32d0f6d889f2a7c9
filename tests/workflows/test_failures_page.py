"""Failures: the groups, one of them, and the buttons."""

import pytest
from django.urls import reverse

from auditlog.models import Entry
from tests import factories
from tests.plugins.pages import MOST_STATEMENTS, cost, text_of
from workflows.models import Failure, Run
from workflows.states import FailureState, RunState

FAILURES = "/failures/"


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
    assert response.context["counts"] == [(1, "Retry 1"), (5, "Retry 5"), (7, "Retry all 7")]
    for item in failure.items.all():
        assert f"RUN-{item.run_id}" in text and f"CASE-{item.run.case_id}" in text


@pytest.mark.parametrize(
    ("stopped", "labels"),
    [
        (0, []),
        (1, ["Retry 1"]),
        (5, ["Retry 1", "Retry all 5"]),
        (6, ["Retry 1", "Retry 5", "Retry all 6"]),
        (200, ["Retry 1", "Retry 5", "Retry all 200"]),
        (900, ["Retry 1", "Retry 5", "Retry 200 of 900"]),
    ],
)
def test_the_ladder_has_only_the_rungs_that_differ(stopped, labels):
    from workflows.views.failures import counts_to_try

    assert [label for _, label in counts_to_try(stopped)] == labels


def test_taking_it_on_makes_it_mine(cast, sign_in, failure):
    client = sign_in(cast.maya)

    response = client.post(address("acknowledge", failure))

    assert response.status_code == 302
    failure.refresh_from_db()
    assert failure.owner == cast.maya
    assert "You" in text_of(client.get(address("failure", failure)))


@pytest.mark.parametrize("count", [1, 5, 7])
def test_a_button_tries_as_many_as_it_says(cast, sign_in, failure, count):
    response = sign_in(cast.maya).post(
        address("retry_failure", failure), {"count": count, "reason": "August is open again."}, follow=True
    )

    assert Run.objects.filter(state=RunState.READY).count() == count
    assert f"{count} run{'s go' if count > 1 else ' goes'} on." in text_of(response)


@pytest.mark.parametrize(
    "sent", [{"count": 1}, {"count": 1, "reason": " "}, {"reason": "x"}, {"count": 0, "reason": "x"},
             {"count": 201, "reason": "x"}, {"count": "all", "reason": "x"}, {"count": -1, "reason": "x"}],
)  # fmt: skip
def test_an_odd_form_tries_nothing(cast, sign_in, failure, sent):
    response = sign_in(cast.maya).post(address("retry_failure", failure), sent)

    assert response.status_code == 422
    assert Run.objects.filter(state=RunState.FAILED).count() == 7


def test_what_was_tried_is_listed_with_what_became_of_it(cast, sign_in, failure):
    client = sign_in(cast.maya)
    client.post(address("retry_failure", failure), {"count": 1, "reason": "Mended."})

    text = text_of(client.get(address("failure", failure)))

    assert "Repaired" in text and "tried again" in text


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
@pytest.mark.parametrize("what", ["acknowledge", "resolve", "retry_failure"])
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
    for what in ("acknowledge", "resolve", "retry_failure"):
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
