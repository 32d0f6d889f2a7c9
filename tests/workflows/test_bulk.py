"""Bulk operations: what may be chosen, what is looked at before anything is done, and their pages."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from tests import factories
from tests.plugins.pages import HTMX, MOST_STATEMENTS, cost, text_of
from tests.workflows.bulks import BEGIN, RUNS, begun, jobs_asked_for, page, results, some_runs
from workflows.bulk import carrying, services
from workflows.engine import controls
from workflows.models import Bulk, BulkItem, Run
from workflows.states import BulkState, RunState
from workflows.tasks import sweep

queued = pytest.fixture(autouse=True)(jobs_asked_for)


# Choosing and looking.


def test_ticked_runs_are_previewed_and_nothing_is_done(organization, cast, sign_in):
    one, two, _ = some_runs(organization)
    controls.pause(two.pk, by=cast.maya, reason="First.")
    client = sign_in(cast.maya)

    bulk = begun(client, chosen="ticked", ticked=[one.pk, two.pk])
    text = text_of(client.get(page(bulk)))

    assert "Pause: 2 runs" in text and "Nothing has been done yet." in text
    assert "1 would be done." in text and "1 It is paused already." in text
    assert f"RUN-{one.pk}" in text and f"RUN-{two.pk}" in text
    assert Run.objects.filter(paused_at__isnull=False).count() == 1
    assert results(bulk) == [("due", "")] * 2


def test_all_that_match_the_list_are_chosen_and_no_others(organization, cast, sign_in):
    waiting = factories.make_run(factories.make_case(organization), state=RunState.WAITING)
    some_runs(organization, 2)

    bulk = begun(sign_in(cast.maya), chosen="matching", query="state=waiting")

    assert [item.subject_id for item in bulk.items.all()] == [waiting.pk]
    assert bulk.selection == {"query": "state=waiting"}


@pytest.mark.parametrize(
    "data",
    [
        {"chosen": "ticked"},
        {"chosen": "ticked", "ticked": ["x", "-1", "9" * 40]},
        {"chosen": "matching", "query": "state=canceled"},
        {"chosen": "matching", "query": "state=nonsense"},
        {"chosen": "matching", "query": "workflow=999999"},
        {"kind": "runs.explode", "chosen": "matching", "query": ""},
    ],
)
def test_nothing_chosen_or_a_filter_that_cannot_be_read_begins_nothing(organization, cast, sign_in, data):
    some_runs(organization)

    response = sign_in(cast.maya).post(BEGIN, {"kind": "runs.pause", **data})

    assert response.status_code == 302
    assert not Bulk.objects.exists()


def test_runs_of_others_cannot_be_chosen(organization, cast, sign_in):
    other, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    theirs, ours = some_runs(other, 1), some_runs(organization, 1)

    bulk = begun(sign_in(cast.maya), chosen="ticked", ticked=[theirs[0].pk, ours[0].pk])

    assert [item.subject_id for item in bulk.items.all()] == [ours[0].pk]


def test_more_than_one_bulk_takes_is_refused(organization, cast, sign_in, monkeypatch):
    monkeypatch.setattr(services, "MOST_ITEMS", 2)
    some_runs(organization, 3)

    sign_in(cast.maya).post(BEGIN, {"kind": "runs.pause", "chosen": "matching", "query": ""})

    assert not Bulk.objects.exists()


def test_an_operator_sees_no_boxes_and_begins_nothing(organization, cast, sign_in):
    [run] = some_runs(organization, 1)
    client = sign_in(cast.ada)

    assert "bulk-form" not in client.get(RUNS).content.decode()
    assert client.post(BEGIN, {"kind": "runs.pause", "chosen": "ticked", "ticked": run.pk}).status_code == 403


def test_an_admin_may_not_correct_data_in_bulk_either(organization, cast, sign_in):
    [run] = some_runs(organization, 1)

    response = sign_in(cast.tomasz).post(BEGIN, {"kind": "runs.correct", "chosen": "ticked", "ticked": run.pk})

    assert response.status_code == 403
    assert not Bulk.objects.exists()


def test_a_preview_is_for_who_made_it(organization, cast, sign_in):
    some_runs(organization)
    bulk = begun(sign_in(cast.maya), chosen="matching", query="")

    assert sign_in(cast.tomasz).get(page(bulk)).status_code == 404


def test_an_old_preview_is_thrown_away_and_a_started_bulk_is_not(organization, cast):
    old = factories.make_bulk(organization, cast.maya, state=BulkState.PREVIEW)
    started = factories.make_bulk(organization, cast.maya)
    Bulk.objects.update(created_at=Now() - timedelta(days=2))

    sweep()

    assert list(Bulk.objects.all()) == [started]
    assert not BulkItem.objects.filter(bulk_id=old.pk).exists()


# The page while it runs.


def test_the_part_that_refreshes_itself_says_nothing_while_nothing_changes(organization, cast, sign_in):
    bulk = factories.make_bulk(organization, cast.maya, count=2)
    client = sign_in(cast.maya)
    address = page(bulk, "?seen=running")

    first = client.get(address, headers=HTMX)
    again = client.get(address, headers={**HTMX, "If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert "csrfmiddlewaretoken" not in first.content.decode() and "data-poll" in first.content.decode()

    carrying.carry_on(bulk.pk)
    last = client.get(address, headers={**HTMX, "If-None-Match": first.headers["ETag"]})
    assert last.status_code == 200 and last.headers["HX-Refresh"] == "true"
    assert "2 of 2" in text_of(last) and "data-poll" not in last.content.decode()


def test_results_are_listed_by_what_came_of_them(organization, cast, sign_in):
    bulk = factories.make_bulk(organization, cast.maya, count=2)
    first = bulk.items.order_by("pk")[0]
    controls.pause(first.subject_id, by=cast.maya, reason="First.")
    carrying.carry_on(bulk.pk)

    text = text_of(sign_in(cast.ada).get(page(bulk, "?result=refused")))

    assert "1 done, 1 refused, 0 failed, 0 left." in text
    assert f"{first.label} refused It is paused already." in text
    assert "Cancel the rest" not in text


def test_the_pages_cost_the_same_with_many_items(organization, cast, sign_in):
    bulk = factories.make_bulk(organization, cast.maya, count=3)
    client = sign_in(cast.maya)
    few, listed = cost(client, page(bulk)), cost(client, "/bulk/")
    more = factories.make_bulk(organization, cast.maya, count=30)

    assert cost(client, page(more)) == few <= MOST_STATEMENTS
    assert cost(client, "/bulk/") == listed <= MOST_STATEMENTS


def test_the_preview_costs_the_same_with_many_items(organization, cast, sign_in):
    client = sign_in(cast.maya)
    few = factories.make_bulk(organization, cast.maya, count=3, state=BulkState.PREVIEW)
    many = factories.make_bulk(organization, cast.maya, count=30, state=BulkState.PREVIEW)

    assert cost(client, page(few)) == cost(client, page(many)) <= MOST_STATEMENTS


def test_a_result_always_has_its_sentence(organization, cast):
    item = factories.make_bulk(organization, cast.maya).items.get()

    with pytest.raises(IntegrityError, match="workflows_bulkitem_result_with_sentence"), transaction.atomic():
        BulkItem.objects.filter(pk=item.pk).update(result="done")
    with pytest.raises(IntegrityError, match="workflows_bulk_ended_at_iff_final"), transaction.atomic():
        Bulk.objects.update(state="done")
