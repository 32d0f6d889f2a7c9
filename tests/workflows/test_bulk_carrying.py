"""Carrying a bulk operation out: each item has its result, a killed job loses nothing, and it can be stopped."""

from datetime import timedelta

import pytest
import redis
from django.db import OperationalError
from django.db.models.functions import Now

from accounts.models import Membership
from accounts.roles import Permission, Role
from auditlog.models import Entry
from opsdesk.lib import errands
from tests import factories
from tests.races import at_once
from tests.workflows.bulks import begun, jobs_asked_for, page, results, some_runs
from workflows.bulk import carrying, jobs
from workflows.bulk.registry import Kind, kinds
from workflows.engine import controls
from workflows.models import Bulk, Run
from workflows.states import BulkState
from workflows.tasks import sweep

queued = pytest.fixture(autouse=True)(jobs_asked_for)


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
