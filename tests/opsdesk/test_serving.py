"""Slow senders are cut off, and only some of the threads wait for them."""

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from gunicorn.http.errors import NoMoreData

from opsdesk import serving
from opsdesk.embedded.addresses import ROOT
from opsdesk.serving import PunctualSocket


@pytest.fixture
def places() -> threading.Semaphore:
    return threading.Semaphore(1)


def accepted(server_end: socket.socket, places: threading.Semaphore) -> PunctualSocket:
    punctual = PunctualSocket(fileno=server_end.detach())
    punctual.waiting = places
    punctual.begin()
    return punctual


@pytest.fixture(autouse=True)
def as_in_a_thread_of_the_pool(monkeypatch):
    """Pytest runs tests in the main thread, which never waits."""
    pool_thread = threading.Thread()
    monkeypatch.setattr(serving.threading, "main_thread", lambda: pool_thread)


@pytest.fixture
def pair(places: threading.Semaphore) -> Iterator[tuple[PunctualSocket, socket.socket]]:
    server_end, sender = socket.socketpair()
    with accepted(server_end, places) as ours, sender:
        yield ours, sender


def test_what_is_there_is_read_at_once_though_nobody_may_wait(pair, places):
    ours, sender = pair
    assert places.acquire(blocking=False)
    sender.sendall(b"POST")
    assert ours.recv(100) == b"POST"


def test_a_slow_sender_is_waited_for(pair, places):
    ours, sender = pair
    timer = threading.Timer(2 * serving.SLOW_AFTER_SECONDS, sender.sendall, [b"x"])
    timer.start()
    assert ours.recv(100) == b"x"
    timer.join()
    assert places.acquire(blocking=False), "its place is free again"


def test_nothing_in_time_counts_as_hung_up(pair, places, monkeypatch):
    ours, _ = pair
    monkeypatch.setattr(serving, "WHOLE_WITHIN_SECONDS", 0.5)
    ours.begin()
    with pytest.raises(NoMoreData):
        ours.recv(100)
    assert places.acquire(blocking=False), "its place is free again"


def test_a_byte_now_and_then_does_not_buy_more_time(pair, monkeypatch):
    ours, sender = pair
    monkeypatch.setattr(serving, "WHOLE_WITHIN_SECONDS", 1.0)
    began = time.monotonic()
    ours.begin()
    with pytest.raises(NoMoreData):
        while True:
            sender.sendall(b"x")
            ours.recv(1)
            time.sleep(0.05)
    assert time.monotonic() - began >= 1.0
    ours.begin()
    sender.sendall(b"y")
    assert ours.recv(100).endswith(b"y"), "the next request has its own time"


def test_who_is_slow_while_all_places_to_wait_are_taken_is_cut_off_at_once(pair, places):
    ours, _ = pair
    assert places.acquire(blocking=False)
    with pytest.raises(NoMoreData):
        ours.recv(100)


def test_the_thread_that_accepts_connections_waits_for_nobody(pair, places, monkeypatch):
    ours, _ = pair
    monkeypatch.setattr(serving.threading, "main_thread", threading.current_thread)
    with pytest.raises(NoMoreData):
        ours.recv(100)
    assert places.acquire(blocking=False), "nor does it take a place"


def test_who_was_cut_off_is_not_listened_to_any_more(pair, places):
    ours, sender = pair
    assert places.acquire(blocking=False)
    with pytest.raises(NoMoreData):
        ours.recv(100)
    sender.sendall(b"x")
    with pytest.raises(NoMoreData):
        ours.recv(100)


def test_the_desks_web_server_is_the_one_that_does_so():
    words = [sys.executable, "-m", "gunicorn", "--print-config", "opsdesk.wsgi:application"]
    config = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^worker_class\s+= opsdesk.serving.PunctualThreads$", config, re.MULTILINE)
