"""Heartbeats: one row a process and a task, written now and then, and never anybody's trouble."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from opsdesk.lib import clock
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch import heartbeats, signals
from opsdesk.watch.heartbeats import Pulse, TaskNotes, note
from tests import factories


def refuse(execute, sql, params, many, context):
    raise DatabaseError("The database is away.")


def in_a_thread(step):
    """Like a pulse does it: on a connection of its own, which it closes."""
    thread = threading.Thread(target=step, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def test_seen_again_is_the_same_row_with_a_later_time(db):
    note(HeartbeatKind.WORKER, "work-1:2", queues=["engine"])
    long_ago = clock.now() - timedelta(hours=1)
    first = factories.at(Heartbeat.objects.get(), started_at=long_ago, last_seen_at=long_ago)

    note(HeartbeatKind.WORKER, "work-1:2", queues=["engine"])

    again = Heartbeat.objects.get()
    assert (again.pk, again.started_at, again.queues) == (first.pk, long_ago, ["engine"])
    assert again.last_seen_at > long_ago and again.host_clock > long_ago and again.ended_at is None


def test_it_costs_one_statement(db, django_assert_num_queries):
    with django_assert_num_queries(1):
        note(HeartbeatKind.TASK, "workflows.tick")


@pytest.mark.django_db(transaction=True)
def test_a_process_is_noted_until_it_is_asked_to_end():
    looked = threading.Event()
    pulse = Pulse(HeartbeatKind.WEB, queues=["engine"], then=looked.set).start()
    assert looked.wait(30)

    in_a_thread(pulse.stop)
    in_a_thread(pulse.stop)

    row = Heartbeat.objects.get()
    assert (row.kind, row.name, row.queues) == ("web", pulse.name, ["engine"])
    assert row.ended_at is not None


@pytest.mark.django_db(transaction=True)
def test_without_proof_that_it_works_it_is_not_noted():
    pulse = Pulse(HeartbeatKind.BEAT, proof=lambda: False)

    in_a_thread(pulse.beat)

    assert not Heartbeat.objects.exists()


@pytest.mark.parametrize("trouble", [DatabaseError("away"), RuntimeError("odd")])
def test_trouble_ends_no_pulse(monkeypatch, trouble):
    def fail(*args, **options):
        raise trouble

    monkeypatch.setattr(heartbeats, "note", fail)
    monkeypatch.setattr(heartbeats.connections, "close_all", lambda: None)

    Pulse(HeartbeatKind.WEB).beat()


def test_each_process_has_a_name_of_its_own():
    assert Pulse(HeartbeatKind.WEB).name != Pulse(HeartbeatKind.WEB).name


def test_a_task_is_noted_now_and_then(db, monkeypatch):
    notes, moment = TaskNotes(), [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    written = []
    monkeypatch.setattr(heartbeats, "note", lambda kind, name: written.append(name))

    for seconds in (0, 1, 4, 5.5, 6, 11):
        moment[0] = 1000.0 + seconds
        notes.done("workflows.tick")
    notes.done("workflows.sweep")

    assert written == ["workflows.tick", "workflows.tick", "workflows.tick", "workflows.sweep"]


@pytest.mark.django_db(transaction=True)
def test_a_note_that_cannot_be_written_is_no_trouble_of_the_task():
    with connection.execute_wrapper(refuse):
        TaskNotes().done("workflows.tick")

    assert not Heartbeat.objects.exists()


def test_only_periodic_tasks_are_noted(db, monkeypatch):
    noted = []
    monkeypatch.setattr(signals._tasks, "done", noted.append)

    class Task:
        name = "workflows.tick"

    class Errand(Task):
        name = "somebody.elses"

    signals._task_done(sender=Task())
    signals._task_done(sender=Errand())
    signals._task_done()

    assert noted == ["workflows.tick"]


def test_beat_is_seen_only_when_it_has_rung():
    signals._has_rung()
    assert signals._has_rung() is False

    signals._beat_rang()

    assert (signals._has_rung(), signals._has_rung()) == (True, False)


@pytest.mark.parametrize(
    ("name", "fields"),
    [("opsdesk_heartbeat_one_per_name", {"name": "taken"}), ("opsdesk_heartbeat_known_kind", {"kind": "odd"})],
)
def test_the_database_repeats_the_rules(db, name, fields):
    note(HeartbeatKind.WEB, "taken")
    note(HeartbeatKind.WEB, "other")

    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        Heartbeat.objects.filter(name="other").update(**fields)
