"""The doorbell: rung after the commit, once for many, and a broker that is away is nobody's trouble."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from opsdesk.lib import queue

PATIENCE_SECONDS = 30


class Broker:
    """Hears what was sent, and waits for a test where it is told to."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.busy = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.trouble: Exception | None = None
        self._news = threading.Condition()

    def send_task(self, task: str, **options: Any) -> None:
        """Take a message as Celery's app does."""
        assert options == {"retry": False}, "A ring that is repeated by itself would wait for the broker."
        self.busy.set()
        assert self.free.wait(PATIENCE_SECONDS)
        with self._news:
            self.heard.append(task)
            self._news.notify_all()
        if self.trouble:
            raise self.trouble

    def wait_for(self, many: int) -> list[str]:
        """What was heard, as soon as it is so much."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.heard) >= many, PATIENCE_SECONDS), self.heard
            return list(self.heard)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(queue, "current_app", made)
    monkeypatch.setattr(queue, "_doorbell", queue._Doorbell())
    return made


@pytest.mark.django_db(transaction=True)
def test_it_rings_after_the_commit_and_not_at_all_after_a_rollback(broker: Broker):
    with pytest.raises(ValueError, match="undone"), transaction.atomic():
        queue.ring("undone")
        raise ValueError("undone")
    with transaction.atomic():
        queue.ring("done")
        assert broker.heard == []

    assert broker.wait_for(1) == ["done"]


@pytest.mark.django_db
def test_what_is_rung_waits_for_the_outermost_commit(
    broker: Broker, django_capture_on_commit_callbacks: Callable[..., Any]
):
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic(), transaction.atomic():
        queue.ring("look")

    assert (len(callbacks), broker.heard) == (1, [])


def test_rings_that_come_while_one_is_sent_are_one_message(broker: Broker):
    bell = queue._Doorbell()
    broker.free.clear()
    bell.ring("first")
    assert broker.busy.wait(PATIENCE_SECONDS)

    for _ in range(1_000):
        bell.ring("second")
    broker.free.set()

    assert broker.wait_for(2) == ["first", "second"]
    bell.ring("last")
    assert broker.wait_for(3) == ["first", "second", "last"]


def test_whoever_rings_does_not_wait_for_the_broker(broker: Broker):
    bell = queue._Doorbell()
    broker.free.clear()  # it answers nobody until the test lets it

    for _ in range(10):
        bell.ring("look")

    assert broker.heard == []
    broker.free.set()
    assert broker.wait_for(1) == ["look"]


def test_a_broker_that_is_away_costs_the_ring_and_nothing_else(broker: Broker):
    bell = queue._Doorbell()
    broker.trouble = ConnectionError("Nobody there.")
    bell.ring("unheard")
    broker.wait_for(1)

    broker.trouble = None
    bell.ring("heard")

    assert broker.wait_for(2) == ["unheard", "heard"]


def test_after_a_fork_the_child_gets_a_thread_of_its_own(broker: Broker):
    """A child has the bell, and no thread behind it: as here, where that thread has ended."""
    bell = queue._Doorbell()
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    bell._thread = ended

    bell.ring("look")

    assert broker.wait_for(1) == ["look"]
