"""Runs: the list and one run."""

import pytest
from django.urls import reverse

from auditlog.models import Entry
from integrations.states import ActionState
from opsdesk.lib.paging import newest_first
from tests import factories
from tests.plugins.pages import HTMX, MOST_STATEMENTS, cost, text_of
from workflows.models import Run
from workflows.states import CaseState, RunState, WaitsFor

RUNS = "/runs/"


def page(run):
    return reverse("workflows:run", args=[run.pk])


def stopped(organization):
    """A run that failed, under its failure."""
    return factories.make_failure(organization, message="The request has no amount.").items.get().run


def test_runs_are_listed_newest_first_with_why_they_wait(organization, cast, sign_in):
    first = factories.make_run(factories.make_case(organization, party_name="Oxley Crafts", amount="66.30"))
    second = factories.make_run(factories.make_case(organization), state=RunState.WAITING)

    response = sign_in(cast.ada).get(RUNS)

    assert list(response.context["page"].rows) == [second, first]
    text = text_of(response)
    assert f"RUN-{first.pk} {first.case} Oxley Crafts £66.30 ready" in text
    assert "waits for a review Waits for Ada Okafor to decide." in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"ready", "review", "retry"}),
        ("state=waiting", {"review", "retry"}),
        ("waits_for=retry", {"retry"}),
        ("state=failed", set()),
    ],
)
def test_state_and_what_is_waited_for_are_chosen_in_the_address(organization, cast, sign_in, query, found):
    runs = {
        "ready": factories.make_run(factories.make_case(organization)),
        "review": factories.make_run(factories.make_case(organization), state=RunState.WAITING),
        "retry": factories.make_run(
            factories.make_case(organization), state=RunState.WAITING, waits_for=WaitsFor.RETRY
        ),
    }

    shown = set(sign_in(cast.ada).get(f"{RUNS}?{query}").context["page"].rows)

    assert {name for name, run in runs.items() if run in shown} == found


def test_the_workflows_of_other_organizations_are_not_offered(organization, cast, sign_in):
    factories.make_desk("elsewhere", suffix="-elsewhere")

    offered = sign_in(cast.ada).get(RUNS).context["filter"].form.fields["workflow"].queryset

    assert {workflow.organization for workflow in offered} == {organization}


def test_pages_follow_each_other_by_key_and_keep_the_filter(organization, cast, sign_in, monkeypatch):
    monkeypatch.setitem(newest_first.__kwdefaults__, "size", 2)
    runs = [factories.make_run(factories.make_case(organization)) for _ in range(5)]
    client = sign_in(cast.ada)

    first = client.get(f"{RUNS}?state=ready").context["page"]
    second = client.get(first.next_url).context["page"]
    third = client.get(second.next_url).context["page"]

    assert [row.pk for page in (first, second, third) for row in page.rows] == [run.pk for run in reversed(runs)]
    assert (first.first_url, third.next_url) == ("", "")
    assert third.first_url == f"{RUNS}?state=ready"


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "1.5", "", "²"])
def test_an_odd_page_key_is_as_none(organization, cast, sign_in, before):
    run = factories.make_run(factories.make_case(organization))

    assert list(sign_in(cast.ada).get(RUNS, {"before": before}).context["page"].rows) == [run]


def test_nothing_found_says_whether_filters_are_to_blame(organization, cast, sign_in):
    client = sign_in(cast.ada)

    assert "Nothing has run yet" in text_of(client.get(RUNS))
    assert "No run is like that" in text_of(client.get(f"{RUNS}?state=failed"))


def test_htmx_gets_the_rows_alone(organization, cast, sign_in):
    html = sign_in(cast.ada).get(RUNS, headers=HTMX).content.decode()

    assert html.lstrip().startswith("<div") and 'id="run-rows"' in html
    assert "<html" not in html


def test_the_back_button_gets_the_whole_page(organization, cast, sign_in):
    headers = {**HTMX, "HX-History-Restore-Request": "true"}

    assert "<html" in sign_in(cast.ada).get(RUNS, headers=headers).content.decode()


def test_the_list_costs_the_same_with_many_rows(organization, cast, sign_in):
    client = sign_in(cast.ada)
    for _ in range(5):
        factories.make_run(factories.make_case(organization))
    few = cost(client, RUNS)
    for _ in range(55):
        factories.make_run(factories.make_case(organization))

    assert cost(client, RUNS) == few <= MOST_STATEMENTS


def test_one_run_tells_its_stages_its_decision_and_its_calls(organization, cast, sign_in):
    run = factories.make_run(factories.make_case(organization, amount="66.30"), state=RunState.SUCCEEDED)
    factories.make_step_run(run, "understand", "gather", note="14 facts")
    factories.make_decision(run, sentence="Fast-track: £66.30 is within the limit.")
    action = factories.make_action(run, state=ActionState.VERIFIED)
    factories.make_call(action.connection, action=action, outcome="transient", message="No answer came.")

    text = text_of(sign_in(cast.ada).get(page(run)))

    for words in (
        "Trigger", "Understand", "Decide", "Act", "Verify", "14 facts", "Fast-track: £66.30 is within the limit.",
        "Refund of £66.30", "Verified", str(action.key), "POST /v1/refunds", "transient", "No answer came.",
    ):  # fmt: skip
        assert words in text


def test_one_run_costs_the_same_with_many_steps_and_calls(organization, cast, sign_in):
    run = factories.make_run(factories.make_case(organization))
    action = factories.make_action(run)
    client = sign_in(cast.ada)

    def fill(count):
        for _ in range(count):
            factories.make_step_run(run, "refund", "act", "waiting")
            factories.make_call(action.connection, action=action)

    fill(5)
    few = cost(client, page(run))
    fill(55)

    assert cost(client, page(run)) == few <= MOST_STATEMENTS


def test_a_run_under_way_refreshes_and_an_ended_one_does_not(organization, cast, sign_in):
    client = sign_in(cast.ada)
    under_way = factories.make_run(factories.make_case(organization))
    ended = factories.make_run(factories.make_case(organization, state=CaseState.DONE), state=RunState.SUCCEEDED)

    assert "data-poll" in client.get(page(under_way)).content.decode()
    assert "data-poll" not in client.get(page(ended)).content.decode()
    fragment = client.get(page(under_way), headers=HTMX).content.decode()
    assert "<html" not in fragment and 'id="run-facts"' in fragment and "csrfmiddlewaretoken" not in fragment


def test_a_failed_run_is_tried_again_with_a_reason(organization, cast, sign_in):
    run = stopped(organization)

    response = sign_in(cast.maya).post(f"{page(run)}retry/", {"reason": "The amount was added."})

    assert response.status_code == 302
    run.refresh_from_db()
    assert run.state == RunState.READY
    entry = Entry.objects.get(verb="workflows.run.repaired")
    assert (entry.user, entry.reason) == (cast.maya, "The amount was added.")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 301])
def test_without_a_fitting_reason_it_stays_as_it_is(organization, cast, sign_in, reason):
    run = stopped(organization)

    response = sign_in(cast.maya).post(f"{page(run)}retry/", {"reason": reason})

    assert response.status_code == 422
    assert "field-error" in response.content.decode()
    run.refresh_from_db()
    assert run.state == RunState.FAILED


def test_a_run_that_goes_on_already_is_not_tried_twice(organization, cast, sign_in):
    run = stopped(organization)
    client = sign_in(cast.maya)
    client.post(f"{page(run)}retry/", {"reason": "Once."})

    response = client.post(f"{page(run)}retry/", {"reason": "Twice."})

    assert response.status_code == 409
    assert "This run has not failed" in text_of(response)
    assert Entry.objects.filter(verb="workflows.run.repaired").count() == 1


@pytest.mark.parametrize("who", ["ada", "ines"])
def test_who_may_not_repair_sees_no_button_and_changes_nothing(organization, cast, sign_in, who):
    run = stopped(organization)
    client = sign_in(getattr(cast, who))

    assert "Retry" not in text_of(client.get(page(run)))
    assert client.post(f"{page(run)}retry/", {"reason": "Let me."}).status_code == 403
    assert Run.objects.get(pk=run.pk).state == RunState.FAILED


def test_reading_changes_nothing(organization, cast, sign_in):
    run = stopped(organization)

    assert sign_in(cast.maya).get(f"{page(run)}retry/").status_code == 405
    assert Run.objects.get(pk=run.pk).state == RunState.FAILED


def test_runs_of_another_organization_are_not_there(organization, cast, sign_in):
    other, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    run = stopped(other)
    client = sign_in(cast.maya)

    assert client.get(page(run)).status_code == 404
    assert client.post(f"{page(run)}retry/", {"reason": "Mine now."}).status_code == 404
    assert list(client.get(RUNS).context["page"].rows) == []


@pytest.mark.parametrize(
    ("control", "verb"),
    [
        ("pause", "paused"),
        ("skip", "skipped"),
        ("restart", "restarted"),
        ("cancel", "canceled"),
        ("prioritize", "prioritized"),
    ],
)
def test_every_button_asks_why_and_does_its_thing(organization, cast, sign_in, control, verb):
    more = {"skip": {"step": "understand"}, "prioritize": {"priority": "10"}}.get(control, {})
    run = factories.make_run(factories.make_case(organization))
    client = sign_in(cast.maya)

    assert client.post(f"{page(run)}{control}/", more).status_code == 422
    assert not Entry.objects.filter(verb=f"workflows.run.{verb}").exists()
    assert client.post(f"{page(run)}{control}/", {"reason": "The shop asked.", **more}).status_code == 302

    entry = Entry.objects.get(verb=f"workflows.run.{verb}")
    assert (entry.user, entry.reason, entry.subject_id) == (cast.maya, "The shop asked.", run.pk)


def test_the_page_offers_what_fits_and_says_why_the_rest_does_not(organization, cast, sign_in):
    run = factories.make_run(factories.make_case(organization))
    client = sign_in(cast.maya)

    text = text_of(client.get(page(run)))
    assert "Pause Skip “understand” Restart Cancel" in text
    assert "Resume: It is not paused." in text and "Retry: This run has not failed" in text
    client.post(f"{page(run)}pause/", {"reason": "The fair."})
    text = text_of(client.get(page(run)))
    assert "Resume Skip “understand” Restart Cancel" in text and "Pause: It is paused already." in text
    assert client.post(f"{page(run)}resume/", {"reason": "It is over."}).status_code == 302
    assert Run.objects.get(pk=run.pk).paused_at is None


def test_an_ended_run_has_no_controls(organization, cast, sign_in):
    run = factories.make_run(factories.make_case(organization, state=CaseState.DONE), state=RunState.SUCCEEDED)

    response = sign_in(cast.maya).get(page(run))

    assert "formaction" not in response.content.decode()
    assert sign_in(cast.maya).post(f"{page(run)}pause/", {"reason": "Too late."}).status_code == 409


def test_an_odd_priority_or_step_changes_nothing(organization, cast, sign_in):
    run = factories.make_run(factories.make_case(organization))
    client = sign_in(cast.maya)

    for control, more in (("prioritize", {"priority": "0"}), ("skip", {"step": "a b"}), ("skip", {})):
        assert client.post(f"{page(run)}{control}/", {"reason": "Why not.", **more}).status_code == 422
    assert client.post(f"{page(run)}skip/", {"reason": "Why not.", "step": "decide"}).status_code == 409
    assert (Run.objects.get(pk=run.pk).priority, Run.objects.get(pk=run.pk).position) == (50, 0)


def test_controls_cost_the_same_with_many_effects(organization, cast, sign_in):
    run = factories.make_run(factories.make_case(organization))
    action = factories.make_action(run)
    client = sign_in(cast.maya)

    few = cost(client, page(run))
    for _ in range(30):
        factories.make_call(action.connection, action=action)

    assert cost(client, page(run)) == few <= MOST_STATEMENTS
