"""Overload: what there is no room for is told at once to come again; webhooks and decisions keep their threads."""

import contextlib
import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from opsdesk import admission, serving
from opsdesk.admission import Kind, kind_of
from opsdesk.models import Refusals
from opsdesk.serving import PunctualThreads
from opsdesk.watch import refusals
from opsdesk.watch.findings import Moment
from opsdesk.watch.heartbeats import database_now

THREADS = 4
ROOM = {"pages": 2, "decisions": 1, "webhooks": 1, "probes": 1}


class Server:
    """A worker of the web server at work in this process; whatever it is asked for waits at the gate first."""

    def __init__(self) -> None:
        self.gates = {kind: threading.Event() for kind in Kind}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        config = Config()
        config.set("threads", THREADS)
        self.worker = PunctualThreads(1, os.getppid(), [self.listener], self, 30, config, Logger(config))
        self.worker._waiting = threading.Semaphore(THREADS // 2)
        self.worker.tpool = self.worker.get_thread_pool()
        self.worker.poller = serving.selectors.DefaultSelector()
        self.worker.method_queue.init()
        self.worker.load_wsgi()
        self.loop = threading.Thread(target=self.worker.run)

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        return self.answer

    def answer(self, environ: dict[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
        """Says yes once the gate of its kind is open."""
        head = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} "
        assert self.gates[kind_of(head.encode())].wait(60)
        start_response("200 OK", [("Content-Length", "3")])
        return [b"yes"]

    def begin(self, method: str, path: str) -> http.client.HTTPConnection:
        """Send a request; somebody may read the answer later."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body=b"{}" if method == "POST" else None)
        return connection

    def ask(self, method: str, path: str) -> http.client.HTTPResponse:
        return self.begin(method, path).getresponse()

    def fill(self, kind: Kind, method: str, path: str) -> list[http.client.HTTPConnection]:
        """Ask until all of the lane is taken, and not once more."""
        lane = self.worker.lanes[kind]
        under_way = []
        while not lane.full:
            before = lane.at_work + len(lane.waiting)
            under_way.append(self.begin(method, path))
            wait_until(lambda: lane.at_work + len(lane.waiting) > before)  # noqa: B023 - called at once
        return under_way


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def server(settings, monkeypatch) -> Iterator[Server]:
    settings.WEB_WAITING = ROOM
    server = Server()
    monkeypatch.setattr(serving.threading, "main_thread", lambda: server.loop)
    server.loop.start()
    yield server
    for gate in server.gates.values():
        gate.set()
    server.worker.handle_exit(None, None)
    server.loop.join(60)
    assert not server.loop.is_alive()


def opened(server: Server, *kinds: Kind) -> Server:
    for kind in kinds:
        server.gates[kind].set()
    return server


def test_the_next_page_is_refused_while_webhooks_decisions_and_probes_still_pass(server: Server) -> None:
    opened(server, Kind.WEBHOOKS, Kind.DECISIONS, Kind.PROBES)
    under_way = server.fill(Kind.PAGES, "GET", "/queue/")
    assert len(under_way) == THREADS // 2 + ROOM["pages"]

    refused = server.ask("GET", "/search/?q=order")

    text = refused.read().decode()
    assert refused.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert admission.SOONEST_SECONDS <= int(refused.headers["Retry-After"]) <= admission.LATEST_SECONDS
    assert refused.headers["Connection"] == "close"
    assert "too busy just now" in text and "load this page again" in text and text.rstrip().endswith("</html>")
    assert server.ask("POST", "/hooks/acme/shop/").status == HTTPStatus.OK
    assert server.ask("POST", "/cases/7/decide/").status == HTTPStatus.OK
    assert server.ask("GET", "/healthz").status == HTTPStatus.OK

    opened(server, Kind.PAGES)
    assert [connection.getresponse().status for connection in under_way] == [HTTPStatus.OK] * len(under_way)
    assert server.ask("GET", "/queue/").status == HTTPStatus.OK
    assert {kind.value: lane.refused for kind, lane in server.worker.lanes.items() if lane.refused} == {"pages": 1}


@pytest.mark.parametrize(
    ("kind", "method", "path", "said"),
    [
        (Kind.DECISIONS, "POST", "/cases/7/decide/", "What you sent was not taken in"),
        (Kind.WEBHOOKS, "POST", "/hooks/acme/shop/", "Too busy just now. Please send it again."),
        (Kind.PROBES, "GET", "/readyz", "Too busy just now. Please send it again."),
    ],
)
def test_each_lane_ends_somewhere_and_says_what_was_not_taken_in(server, kind, method, path, said) -> None:
    under_way = server.fill(kind, method, path)

    refused = server.ask(method, path)

    assert refused.status == HTTPStatus.SERVICE_UNAVAILABLE and refused.headers["Retry-After"]
    assert said in refused.read().decode()
    opened(server, kind)
    assert {connection.getresponse().status for connection in under_way} == {HTTPStatus.OK}


def test_whoever_sends_much_reads_the_refusal_all_the_same(server: Server) -> None:
    server.fill(Kind.WEBHOOKS, "POST", "/hooks/acme/shop/")
    head = b"POST /hooks/acme/shop/ HTTP/1.1\r\nHost: desk\r\nContent-Length: 200000\r\n\r\n"

    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sender:
        sender.sendall(head)
        wait_until(lambda: server.worker.lanes[Kind.WEBHOOKS].refused == 1)
        sender.sendall(b" " * 200_000)
        assert sender.recv(4096).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")


def test_connections_that_say_nothing_take_no_thread_and_no_room(server: Server) -> None:
    opened(server, *Kind)
    with contextlib.ExitStack() as silent:
        for _ in range(4 * THREADS):
            silent.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert server.ask("GET", "/queue/").status == HTTPStatus.OK
    wait_until(lambda: server.worker.nr_conns <= 1)


def test_two_requests_at_once_on_one_connection_are_both_answered(server: Server) -> None:
    opened(server, *Kind)
    request = b"GET /queue/ HTTP/1.1\r\nHost: desk\r\n\r\n"

    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sender:
        sender.sendall(2 * request)
        answers = b""
        while answers.count(b"yes") < 2:
            answers += sender.recv(4096)
    assert answers.count(b"200 OK") == 2


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"GET / HTTP/1.1", Kind.PAGES),
        (b"GET /cases/7/ HTTP/1.1", Kind.PAGES),
        (b"HEAD /queue/?tier=full HTTP/1.1", Kind.PAGES),
        (b"POST /cases/7/decide/ HTTP/1.1", Kind.DECISIONS),
        (b"POST /hooks/acme/shop/ HTTP/1.1", Kind.WEBHOOKS),
        (b"GET /readyz?only=database HTTP/1.1", Kind.PROBES),
        (b"GET /static/css/base.css HTTP/1.1", Kind.PROBES),
        (b"GET /healthz/x HTTP/1.1", Kind.PAGES),
        (b"PO", Kind.PAGES),
        (b"\x16\x03\x01 odd", Kind.PAGES),
    ],
)
def test_the_first_line_says_what_a_request_is_for(head: bytes, kind: Kind) -> None:
    assert kind_of(head) is kind


@pytest.mark.django_db
def test_a_refusal_carries_the_headers_of_every_other_answer(client, settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER, settings.SECURE_HSTS_SECONDS = ("HTTP_X_FORWARDED_PROTO", "https"), 3600
    usual = client.get("/nowhere/", headers={"X-Forwarded-Proto": "https"}).headers
    answer = bytes(admission.Refusal(Kind.PAGES))
    lines = answer.partition(b"\r\n\r\n")[0].decode().splitlines()[1:]
    refused = dict(line.split(": ", 1) for line in lines)

    own = {"Retry-After", "Connection", "Content-Length"}
    assert set(refused) - own >= set(usual) - own - {"Location", "Vary"}
    for name in ("X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Strict-Transport-Security"):
        assert refused[name] == usual[name]


@pytest.mark.django_db
def test_what_is_turned_away_is_counted_over_all_processes_and_told_while_it_lasts(settings, client) -> None:
    settings.WEB_WAITING = ROOM
    one, other = admission.lanes(THREADS), admission.lanes(THREADS)
    tallies = [refusals.Tally(lanes) for lanes in (one, other)]
    one[Kind.PAGES].refused, other[Kind.PAGES].refused, other[Kind.WEBHOOKS].refused = 5, 2, 1
    for tally in tallies:
        tally.write()
    one[Kind.PAGES].refused += 10
    for tally in tallies:
        tally.write()

    shown = client.get("/metrics").content.decode()
    assert 'opsdesk_requests_refused_total{kind="pages"} 17.0' in shown
    assert 'opsdesk_requests_refused_total{kind="webhooks"} 1.0' in shown
    assert 'opsdesk_requests_refused_total{kind="decisions"} 0.0' in shown

    now = database_now()
    (finding,) = refusals.overloaded(Moment(now, now))
    assert "pages, webhooks" in finding.words
    Refusals.objects.update(last_at=now - 2 * refusals.LATELY)
    assert list(refusals.overloaded(Moment(now, now))) == []
