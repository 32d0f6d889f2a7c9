"""Bulk operations: what is chosen is looked at, each item has its result, and a killed job loses nothing."""

from datetime import timedelta

import pytest
import redis
from django.db import IntegrityError, OperationalError, transaction
from django.db.models.functions import Now
from django.urls import reverse

from accounts.models import Membership
from accounts.roles import Permission, Role
from auditlog.models import Entry
from opsdesk.lib import errands
from tests import factories
from tests.plugins.pages import HTMX, MOST_STATEMENTS, cost, text_of
from tests.races import at_once
from workflows.bulk import carrying, jobs, services
from workflows.bulk.registry import Kind, kinds
from workflows.engine import controls
from workflows.models import Bulk, BulkItem, Run
from workflows.states import BulkState, RunState
from workflows.tasks import sweep

RUNS, BEGIN = "/runs/", "/bulk/begin/"


@pytest.fixture(autouse=True)
def queued(monkeypatch) -> list[int]:
    """The jobs that were asked for; none of them runs by itself."""
    asked: list[int] = []
    monkeypatch.setattr(errands, "push", lambda name, job, key: asked.append(key))
    return asked


def some_runs(organization, count=3):
    return [factories.make_run(factories.make_case(organization)) for _ in range(count)]


def page(bulk, what=""):
    return reverse("workflows:bulk", args=[bulk.pk]) + what


def begun(client, **data) -> Bulk:
    response = client.post(BEGIN, {"kind": "runs.pause", **data})
    assert response.status_code == 302
    return Bulk.objects.get(pk=int(response.headers["Location"].strip("/").split("/")[-1]))


def results(bulk):
    return list(bulk.items.values_list("result", "sentence"))


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


# Starting and carrying out.


def test_every_item_gets_its_result_and_its_entry(
    organization, cast, sign_in, queued, django_capture_on_commit_callbacks
):
    one, two, three = some_runs(organization)
    client = sign_in(cast.maya)
    bulk = begun(client, chosen="matching", query="")
    controls.pause(two.pk, by=cast.maya, reason="First.")

    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(page(bulk, "start/"), {"reason": "The fair."}).status_code == 302
    assert queued == [bulk.pk]
    assert carrying.carry_on(bulk.pk) is False

    bulk.refresh_from_db()
    assert (bulk.state, bulk.done, bulk.refused, bulk.failed, bulk.left) == (BulkState.DONE, 2, 1, 0, 0)
    assert results(bulk) == [("done", "Paused."), ("refused", "It is paused already."), ("done", "Paused.")]
    entries = Entry.objects.filter(verb="workflows.run.paused", request_id=f"bulk-{bulk.pk}")
    assert {(entry.subject_id, entry.user_id, entry.reason) for entry in entries} == {
        (run.pk, cast.maya.pk, "The fair.") for run in (one, three)
    }
    verbs = list(Entry.objects.filter(subject_kind="bulk").order_by("pk").values_list("verb", flat=True))
    assert verbs == ["workflows.bulk.started", "workflows.bulk.finished"]


def test_without_a_reason_nothing_starts(organization, cast, sign_in):
    some_runs(organization)
    client = sign_in(cast.maya)
    bulk = begun(client, chosen="matching", query="")

    response = client.post(page(bulk, "start/"), {"reason": " "})

    assert response.status_code == 422
    bulk.refresh_from_db()
    assert bulk.state == BulkState.PREVIEW


@pytest.mark.parametrize(
    "told",
    [
        ("runs.prioritize", {"priority": "10"}, "Priority 10."),
        ("runs.skip", {"step": "understand"}, "Skipped understand."),
        ("runs.restart", {}, "Begins again."),
        ("runs.cancel", {}, "Canceled."),
        (
            "runs.correct",
            {"field": "customer", "value": "12347"},
            "Corrected customer; it is gathered and decided again.",
        ),
    ],
)
def test_each_kind_asks_what_it_needs_and_does_it(organization, cast, sign_in, told):
    kind, asked, sentence = told
    some_runs(organization, 2)
    client = sign_in(cast.maya)
    bulk = begun(client, kind=kind, chosen="matching", query="")

    if asked:
        assert client.post(page(bulk, "start/"), {"reason": "The fair."}).status_code == 422
    client.post(page(bulk, "start/"), {"reason": "The fair.", **asked})
    carrying.carry_on(bulk.pk)

    assert results(bulk) == [("done", sentence)] * 2


def failing_kind(monkeypatch, perform) -> None:
    old = kinds["runs.pause"]
    kind = Kind(**{name: getattr(old, name) for name in Kind.__slots__} | {"perform": perform})
    monkeypatch.setitem(kinds, "runs.pause", kind)


def test_an_item_that_breaks_is_failed_and_the_others_go_on(organization, cast, monkeypatch):
    bulk = factories.make_bulk(organization, cast.maya, count=3)
    second = bulk.items.order_by("pk")[1].subject_id

    def perform(key, by, reason, parameters):
        if key == second:
            Run.objects.filter(pk=key).update(reason="Half done.")
            raise ValueError("Nobody planned for this.")
        return "Paused."

    failing_kind(monkeypatch, perform)
    carrying.carry_on(bulk.pk)

    assert [result for result, _ in results(bulk)] == ["done", "failed", "done"]
    assert results(bulk)[1][1] == "ValueError: Nobody planned for this."
    assert Run.objects.get(pk=second).reason == ""


def test_a_killed_job_goes_on_from_the_rows_where_it_was(organization, cast, monkeypatch, queued):
    """What dies within an item leaves the item due; what was done before is not done again."""
    bulk = factories.make_bulk(organization, cast.maya, count=4)
    third, done = bulk.items.order_by("pk")[2].subject_id, []

    def perform(key, by, reason, parameters):
        if key == third and len(done) == 2:
            done.append("died")
            raise OperationalError("The connection is gone.")
        done.append(key)
        return "Paused."

    failing_kind(monkeypatch, perform)
    with pytest.raises(OperationalError):
        carrying.carry_on(bulk.pk)
    assert [result for result, _ in results(bulk)] == ["done", "done", "due", "due"]
    assert jobs.wake_stale() == 0
    Bulk.objects.update(looked_at=Now() - timedelta(minutes=1))

    sweep()
    assert queued == [bulk.pk]
    carrying.carry_on(bulk.pk)

    bulk.refresh_from_db()
    assert (bulk.state, bulk.done) == (BulkState.DONE, 4)
    assert len(done) == len(set(done)) == 5


def test_a_job_gives_others_their_turn_and_queues_up_again(
    organization, cast, queued, django_capture_on_commit_callbacks
):
    bulk = factories.make_bulk(organization, cast.maya, count=2)

    assert carrying.carry_on(bulk.pk, seconds=0) is True
    with django_capture_on_commit_callbacks(execute=True):
        assert jobs.carry(bulk.pk) == "nothing is left"

    assert queued == []


def test_two_jobs_on_one_bulk_do_each_item_once(transactional_db, organization, cast):
    bulk = factories.make_bulk(organization, cast.maya, count=20)

    at_once(*[lambda: carrying.carry_on(bulk.pk)] * 2)

    bulk.refresh_from_db()
    assert (bulk.state, bulk.done) == (BulkState.DONE, 20)
    assert Entry.objects.filter(verb="workflows.run.paused").count() == 20
    assert Entry.objects.filter(verb="workflows.bulk.finished").count() == 1


def test_whoever_lost_the_right_meanwhile_does_nothing_more(organization, cast):
    bulk = factories.make_bulk(organization, cast.maya, count=2)
    Membership.objects.filter(user=cast.maya).update(role=Role.VIEWER)
    assert not Membership.objects.get(user=cast.maya).may(Permission.REPAIR)

    carrying.carry_on(bulk.pk)

    bulk.refresh_from_db()
    assert (bulk.state, bulk.left) == (BulkState.CANCELED, 2)
    assert bulk.note.startswith("Maya Nowak may no longer do this")
    assert not Run.objects.filter(paused_at__isnull=False).exists()


# Pausing, resuming, canceling.


def test_a_paused_bulk_waits_until_it_is_resumed(
    organization, cast, sign_in, queued, django_capture_on_commit_callbacks
):
    bulk = factories.make_bulk(organization, cast.maya, count=2)
    client = sign_in(cast.tomasz)

    assert client.post(page(bulk, "pause/")).status_code == 302
    carrying.carry_on(bulk.pk)
    assert {result for result, _ in results(bulk)} == {"due"}
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(page(bulk, "resume/")).status_code == 302
    assert queued == [bulk.pk]
    carrying.carry_on(bulk.pk)

    bulk.refresh_from_db()
    assert (bulk.state, bulk.by, bulk.done) == (BulkState.DONE, cast.tomasz, 2)


def test_canceling_leaves_what_is_left_and_cannot_be_undone(organization, cast, sign_in):
    bulk = factories.make_bulk(organization, cast.maya, count=2)
    client = sign_in(cast.maya)

    assert client.post(page(bulk, "cancel/")).status_code == 302
    carrying.carry_on(bulk.pk)

    assert {result for result, _ in results(bulk)} == {"due"}
    for what in ("pause/", "resume/", "cancel/", "start/"):
        assert client.post(page(bulk, what), {"reason": "Again."}).status_code == 409
    bulk.refresh_from_db()
    assert (bulk.state, bulk.note) == (BulkState.CANCELED, "Canceled by Maya Nowak.")


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


# The database and the queue.


def test_a_result_always_has_its_sentence(organization, cast):
    item = factories.make_bulk(organization, cast.maya).items.get()

    with pytest.raises(IntegrityError, match="workflows_bulkitem_result_with_sentence"), transaction.atomic():
        BulkItem.objects.filter(pk=item.pk).update(result="done")
    with pytest.raises(IntegrityError, match="workflows_bulk_ended_at_iff_final"), transaction.atomic():
        Bulk.objects.update(state="done")


def test_a_queue_that_is_away_costs_only_time(organization, cast, monkeypatch):
    monkeypatch.undo()
    bulk = factories.make_bulk(organization, cast.maya)

    class Away:
        def enqueue(self, *args, **options):
            raise redis.exceptions.ConnectionError("Nobody listens.")

    monkeypatch.setattr(errands.django_rq, "get_queue", lambda name: Away())
    Bulk.objects.update(looked_at=Now() - timedelta(minutes=1))

    assert jobs.wake_stale() == 1
    bulk.refresh_from_db()
    assert bulk.state == BulkState.RUNNING


def test_the_jobs_process_carries_it_out(transactional_db, organization, cast, monkeypatch):
    """The real queue, and a worker that takes what lies in it."""
    import django_rq
    from rq import SimpleWorker

    monkeypatch.undo()
    bulk = factories.make_bulk(organization, cast.maya, count=2)
    queue = django_rq.get_queue(errands.QUEUE)
    queue.empty()

    jobs.enqueue(bulk.pk)
    assert SimpleWorker([queue], connection=queue.connection).work(burst=True)

    bulk.refresh_from_db()
    assert (bulk.state, bulk.done) == (BulkState.DONE, 2)
