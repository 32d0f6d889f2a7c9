"""Calling outside: what comes back, what was never sent, what a status means, and connections (D2, I3, N3)."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography.fernet import Fernet

from integrations.http import Limits, transport
from integrations.http.answers import retry_after
from integrations.models import Call
from tests.integrations.calling import Connect, fails, send
from tests.integrations.conftest import API_KEY
from tests.integrations.scripted import (
    ScriptedServer,
    answer,
    hang_up,
    raw,
)
from workflows.states import FailureKind

# What comes back.


def test_an_answer_is_given_with_its_status_document_and_headers(server: ScriptedServer, connect: Connect):
    server.plays(answer({"id": "re_1", "amount": 100, "rate": 0.5}, status=201, request_id="req_1"))

    reply = send(connect(server.url), form=[("amount", "100"), ("metadata[case]", "CASE-7 é")])

    assert (reply.status, reply.ok, reply.data) == (201, True, {"id": "re_1", "amount": 100, "rate": "0.5"})
    assert reply.headers["Request-Id"] == "req_1"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/refunds HTTP/1.1\r\n")
    assert f"Authorization: Bearer {API_KEY}".encode() in head
    assert b"Content-Type: application/x-www-form-urlencoded" in head
    assert body == b"amount=100&metadata%5Bcase%5D=CASE-7+%C3%A9"


def test_the_row_of_a_call_says_what_for_and_how_long_and_keeps_secrets_and_values_out(
    server: ScriptedServer, connect: Connect
):
    calls: list[Call] = []

    send(connect(server.url), "GET", calls=calls, query=[("payment_intent", "pi_secret"), ("limit", "100")])

    (call,) = calls
    assert (call.operation, call.method, call.path) == ("refund", "GET", "/v1/refunds?payment_intent&limit")
    assert (call.status, call.outcome, call.message, call.pk) == (200, "ok", "", None)
    assert 0 <= call.milliseconds < 1000
    assert API_KEY not in str(call.__dict__)
    assert "pi_secret" not in str(call.__dict__)


def test_a_failed_call_leaves_its_row_too(server: ScriptedServer, connect: Connect):
    calls: list[Call] = []
    server.plays(hang_up)

    failed = fails(connect(server.url), calls=calls)

    assert calls == [failed.call]
    assert (calls[0].status, calls[0].outcome) == (None, "transient")
    assert calls[0].message == failed.message == "Gateway: The connection broke before the answer was complete."


def test_nothing_is_kept_from_one_call_to_the_next_but_the_connection(server: ScriptedServer, connect: Connect):
    server.plays(answer(set_cookie="session=1; Path=/"))
    connection = connect(server.url)

    for _ in range(5):
        send(connection)

    assert server.connections == 1
    assert not any(b"cookie" in request.lower() for request in server.requests)


def test_neither_proxies_nor_passwords_come_from_the_environment(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login admin password inside")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert send(connect(server.url, secret="")).ok
    assert b"authorization" not in server.requests[0].lower()


# What does not come back: nothing was sent.


def test_a_refused_connection_is_down_and_had_no_effect(connect: Connect):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    failed = fails(connect(f"http://127.0.0.1:{port}"))

    assert (failed.kind, failed.effect_possible) == (FailureKind.INFRASTRUCTURE, False)


def test_a_name_that_nobody_knows_is_down_and_had_no_effect(connect: Connect, monkeypatch: pytest.MonkeyPatch):
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    failed = fails(connect("https://gateway.test:443"))

    assert (failed.kind, failed.effect_possible) == (FailureKind.INFRASTRUCTURE, False)
    assert "could not be looked up" in failed.message


def test_a_resolver_that_never_answers_holds_nobody_up(connect: Connect, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2) or [])
    started = time.monotonic()

    failed = fails(connect("https://gateway.test:443"))

    assert (failed.kind, failed.effect_possible) == (FailureKind.INFRASTRUCTURE, False)
    assert time.monotonic() - started < 1


def test_a_black_hole_holds_nobody_up(connect: Connect):
    # A listener whose queue is full lets further connections wait without a word, as a firewall does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as hole:
        port = hole.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        started = time.monotonic()
        failed = fails(connect(f"http://127.0.0.1:{port}"))
        took = time.monotonic() - started
        for sock in waiting:
            sock.close()

    assert (failed.kind, failed.effect_possible) == (FailureKind.INFRASTRUCTURE, False)
    assert took < 1


def test_a_secret_that_no_key_opens_is_not_sent(server: ScriptedServer, connect: Connect, settings: Any):
    connection = connect(server.url)
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    failed = fails(connection)

    assert (failed.kind, failed.effect_possible) == (FailureKind.INFRASTRUCTURE, False)
    assert server.requests == []


# What a status means.


@pytest.mark.parametrize(
    ("status", "kind", "effect_possible"),
    [
        (400, FailureKind.DATA, False),
        (401, FailureKind.INFRASTRUCTURE, False),
        (402, FailureKind.DATA, False),
        (403, FailureKind.INFRASTRUCTURE, False),
        (404, FailureKind.DATA, False),
        (408, FailureKind.TRANSIENT, True),
        (409, FailureKind.TRANSIENT, True),
        (422, FailureKind.DATA, False),
        (429, FailureKind.TRANSIENT, False),
        (500, FailureKind.TRANSIENT, True),
        (502, FailureKind.INFRASTRUCTURE, True),
        (503, FailureKind.INFRASTRUCTURE, True),
        (504, FailureKind.INFRASTRUCTURE, True),
    ],
)
def test_a_refusal_says_what_follows_and_whether_there_may_be_an_effect(
    status: int, kind: FailureKind, effect_possible: bool, server: ScriptedServer, connect: Connect
):
    server.plays(answer({"error": {}}, status=status, retry_after="7"))
    connection = connect(server.url)

    acting = send(connection).refusal("No.")
    reading = send(connection, "GET").refusal("No.")

    assert (acting.kind, acting.effect_possible) == (kind, effect_possible)
    assert (reading.kind, reading.effect_possible) == (kind, False)
    assert acting.retry_after == timedelta(seconds=7)
    assert acting.call is not None
    assert (acting.call.outcome, acting.call.message, acting.call.status) == (kind, "No.", status)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("0", 0),
        ("7", 7),
        ("0.5", 0.5),
        ("999999999", 86_400),
        (format_datetime(datetime(2026, 5, 1, 9, 30, 30, tzinfo=UTC), usegmt=True), 30),
        (format_datetime(datetime(2026, 5, 1, 9, 0, tzinfo=UTC), usegmt=True), 0),
        (format_datetime(datetime(2027, 5, 1, tzinfo=UTC), usegmt=True), 86_400),
        ("Friday, 01-May-26 09:30:30 GMT", 30),
        ("Fri, 01 May 2026 11:30:30 +0200", 30),
    ],
)
def test_how_long_to_stay_away_is_read_in_seconds_and_as_a_date(text: str, wait: float):
    with time_machine.travel(datetime(2026, 5, 1, 9, 30, tzinfo=UTC), tick=False):
        assert retry_after({"Retry-After": text}) == timedelta(seconds=wait)


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "1e3", "٣", "Fri, 99 May 2026 09:30:00 GMT", "9" * 30])
def test_nonsense_is_no_time_to_stay_away(text: str):
    assert retry_after({"Retry-After": text}) is None


# Connections: kept, given up, shared.


def test_a_connection_that_was_quiet_too_long_is_not_used_again(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    connection = connect(server.url)
    send(connection)
    monkeypatch.setattr(transport, "REUSE_SECONDS", 0.0)

    assert send(connection).ok
    assert server.connections == 2


def test_a_connection_that_the_other_side_closed_is_replaced(server: ScriptedServer, connect: Connect):
    connection = connect(server.url)
    server.plays(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), answer())
    send(connection)
    time.sleep(0.05)

    assert send(connection).ok
    assert server.connections == 2


def test_a_connection_with_a_broken_answer_is_not_used_again(server: ScriptedServer, connect: Connect):
    connection = connect(server.url)
    server.plays(answer(body=b'{"a": "' + b"x" * 1_200_000 + b'"}'), answer({"id": "right"}))
    fails(connection)

    assert send(connection).data == {"id": "right"}
    assert server.connections == 2


def test_many_threads_call_at_once_and_each_gets_its_own_answer(connect: Connect):
    servers = [ScriptedServer().plays(answer({"port": number})) for number in range(4)]
    connections = [connect(server.url) for server in servers]

    def ask(number: int) -> bool:
        return send(connections[number % 4], limits=Limits()).data == {"port": number % 4}

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(400)))
    assert sum(len(server.requests) for server in servers) == 400
    assert sum(server.connections for server in servers) <= 64
    for server in servers:
        server.close()
