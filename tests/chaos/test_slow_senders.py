"""Oversized and slow: what one sender does to the web server is nothing the others notice."""

import contextlib
import http.client
import socket
import statistics
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from opsdesk.demo import cast
from opsdesk.demo.shop import event_id, event_of
from opsdesk.embedded.desk import WEB_THREADS, WEB_WORKERS
from tests.chaos.traffic import real_requests
from tests.chaos.whole_desk import WholeDesk

LARGEST = 256 * 1024
MEGABYTE = 1024 * 1024
HOOK = f"/hooks/{cast.ORGANIZATION}/shop/"
HEAD = f"POST {HOOK} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
SLOW_SENDERS = 4 * WEB_WORKERS * WEB_THREADS


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeDesk]:
    with WholeDesk(tmp_path_factory.mktemp("slow"), "--without-workers") as desk:
        yield desk


def open_socket(desk: WholeDesk) -> socket.socket:
    return socket.create_connection(("127.0.0.1", desk.ports["OPSDESK_PORT"]), timeout=60)


def trickle(desk: WholeDesk, cut_after: list[float], stop: threading.Event) -> None:
    """Announce a body and send a byte a second of it; connect again when cut off. Keeps the seconds of each."""
    head = HEAD + "Content-Length: 5000\r\n\r\n"
    while not stop.is_set():
        began = time.monotonic()
        with contextlib.suppress(OSError), open_socket(desk) as sender:
            sender.sendall(head.encode())
            while not stop.wait(1):
                sender.sendall(b"x")
                sender.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if sender.recv(4096):
                        break
                sender.setblocking(True)
        if not stop.is_set():
            cut_after.append(time.monotonic() - began)


def resident(desk: WholeDesk) -> int:
    """Bytes of memory that the web processes hold."""
    return sum(process.memory_info().rss for process in desk.processes()["web"] if process.is_running())


def answer_to(desk: WholeDesk, size: int) -> int:
    """The status for a body of that size."""
    connection = http.client.HTTPConnection("127.0.0.1", desk.ports["OPSDESK_PORT"], timeout=60)
    with contextlib.closing(connection):
        connection.putrequest("POST", HOOK)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        # The server need not read what it refuses: then it hangs up while we send, and has answered before.
        with contextlib.suppress(OSError):
            connection.send(b" " * min(size, 4 * LARGEST))
        return connection.getresponse().status


def chunked(desk: WholeDesk, megabytes: int) -> tuple[bytes, int]:
    """Send a body in chunks until the server hangs up; its answer and how many bytes it let us send."""
    head = HEAD + "Transfer-Encoding: chunked\r\n\r\n"
    sent, chunk = 0, b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with open_socket(desk) as sender:
        sender.sendall(head.encode())
        with contextlib.suppress(OSError):
            while sent < megabytes * MEGABYTE:
                sender.sendall(chunk)
                sent += 0x10000
        answer = b""
        with contextlib.suppress(OSError):
            answer = sender.recv(4096)
    return answer, sent


@pytest.mark.long
def test_oversized_bodies_are_refused_unread_and_cost_no_memory(desk: WholeDesk) -> None:
    for _ in range(4):
        assert answer_to(desk, 20_000) == 401
    before = resident(desk)
    assert answer_to(desk, LARGEST) == 401, "large enough to be looked at, but not signed"
    assert answer_to(desk, LARGEST + 1) == 413
    assert answer_to(desk, 3_000_000) == 413
    for _ in range(3):
        _, sent = chunked(desk, 200)
        assert sent < 200 * MEGABYTE, "it read all of it"
    grown = resident(desk) - before
    print(f"web processes grew by {grown / MEGABYTE:.1f} MB")
    assert grown < 20 * MEGABYTE


@pytest.mark.long
@pytest.mark.alone
def test_slow_senders_are_cut_off_and_others_do_not_wait_for_them(desk: WholeDesk) -> None:
    cut_after: list[float] = []
    stop = threading.Event()
    slow = [threading.Thread(target=trickle, args=(desk, cut_after, stop), daemon=True) for _ in range(SLOW_SENDERS)]
    took: list[float] = []
    for thread in slow:
        thread.start()
    try:
        time.sleep(2)
        for request in real_requests(300):
            began = time.monotonic()
            status, *_ = desk.shop._post(event_id(request), event_of(request))
            took.append(time.monotonic() - began)
            assert status == 202
            time.sleep(0.1)
    finally:
        stop.set()
        for thread in slow:
            thread.join(30)
    late = statistics.quantiles(took, n=100)[98]
    print(f"{SLOW_SENDERS} slow ones, cut off {len(cut_after)} times after at most {max(cut_after):.1f} s;")
    print(f"others: median {statistics.median(took):.3f} s, p99 {late:.3f} s")
    assert max(cut_after) <= 30
    assert late < 0.5
    assert all(psutil.pid_exists(process.pid) for process in desk.processes()["web"])
