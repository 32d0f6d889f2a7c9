"""Answers that never come, break off or cannot be read: perhaps it was done."""

import gzip
import time

import pytest

from integrations.http import Limits
from tests.integrations.calling import HEAD, Connect, fails, send
from tests.integrations.scripted import (
    Script,
    ScriptedServer,
    answer,
    endless,
    hang_up,
    raw,
    reset,
    silence,
    trickle,
)
from workflows.states import FailureKind

LOST: dict[str, Script] = {
    "closed without a byte": hang_up,
    "reset without a byte": reset(),
    "reset in the middle of the body": reset(HEAD + b'{"id": '),
    "body shorter than promised": raw(HEAD + b'{"id": '),
    "chunk cut off": raw(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{"id": '),
    "chunks without an end": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    "broken chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"),
    "headers cut off": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "no HTTP": raw(b"220 mail.test ESMTP\r\n"),
    "status without a number": raw(b"HTTP/1.1 abc OK\r\n\r\n"),
    "endless header": raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000),
    "too many headers": raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n{}"),
    "silence": silence,
    "trickling headers": trickle(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200, 0.05),
    "trickling body": trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{" + b" " * 400, 0.01),
    "endless body": endless(b"HTTP/1.1 200 OK\r\n\r\n"),
    "promises five gigabytes": endless(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n"),
    "gzip bomb": answer(body=gzip.compress(b" " * 50_000_000), content_encoding="gzip"),
    "HTML": answer(body=b"<html>Welcome</html>", content_type="text/html"),
    "empty": answer(body=b""),
    "a list": answer([]),
    "NaN": answer(body=b'{"amount": NaN}'),
    "bad UTF-8": answer(body=b'{"amount": "\xff"}'),
    "very deep": answer(body=b"[" * 100_000),
    "1 MB and a byte": answer(body=b'{"a": "' + b"x" * 1_000_000 + b'"}'),
}


@pytest.mark.parametrize("script", LOST.values(), ids=LOST)
def test_a_lost_or_unreadable_answer_to_an_action_leaves_its_effect_open(
    script: Script, server: ScriptedServer, connect: Connect
):
    server.plays(script)
    started = time.monotonic()

    failed = fails(connect(server.url))

    assert (failed.kind, failed.effect_possible) == (FailureKind.TRANSIENT, True)
    assert time.monotonic() - started < 1.5
    assert len(server.requests) == 1


@pytest.mark.parametrize("script", [LOST["silence"], LOST["HTML"], LOST["reset in the middle of the body"]])
def test_reading_has_no_effect_whatever_comes_back(script: Script, server: ScriptedServer, connect: Connect):
    server.plays(script)

    assert not fails(connect(server.url), "GET").effect_possible


def test_what_came_back_is_never_shown_raw(server: ScriptedServer, connect: Connect):
    server.plays(answer(body=b"<script>alert(1)</script> sk_live_123"))

    assert "script" not in fails(connect(server.url)).message


def test_a_megabyte_is_read(server: ScriptedServer, connect: Connect):
    server.plays(answer({"a": "x" * 900_000}))

    assert len(send(connect(server.url), limits=Limits()).data["a"]) == 900_000
