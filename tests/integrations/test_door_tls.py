"""TLS through the door: the certificate proves the name, though the connection goes to an address."""

import socket
import ssl
import time
from pathlib import Path

import pytest
import requests.adapters

from integrations.http import Limits
from tests.integrations.calling import HEAD, Connect, fails, send
from tests.integrations.scripted import (
    ScriptedServer,
    make_certificate,
    reset,
)
from workflows.states import FailureKind


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names under .test are at home here."""
    ask = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: ask("127.0.0.1" if host.endswith(".test") else host, *rest, **more),
    )


def secured(tmp_path: Path, *names: str) -> tuple[ScriptedServer, Path, list[str]]:
    """A server with a certificate for names, the file to trust, and the names it was asked for (SNI)."""
    trusted, context = make_certificate(tmp_path, *names)
    asked_for: list[str] = []
    context.sni_callback = lambda _sock, name, _context: asked_for.append(name)
    return ScriptedServer(context), trusted, asked_for


@pytest.mark.usefixtures("at_home")
def test_name_and_certificate_stay_those_of_the_host(tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch):
    server, trusted, asked_for = secured(tmp_path, "gateway.test")
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(trusted))

    reply = send(connect(f"https://gateway.test:{server.port}"), limits=Limits())
    server.close()

    assert reply.ok
    assert asked_for == ["gateway.test"]
    assert f"Host: gateway.test:{server.port}".encode() in server.requests[0]


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize("case", ["another name", "nobody vouches for it", "the address alone"])
def test_who_does_not_prove_its_name_is_sent_nothing(
    case: str, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    name = {"another name": "other.test", "the address alone": "127.0.0.1"}.get(case, "gateway.test")
    server, trusted, _ = secured(tmp_path, name)
    if case != "nobody vouches for it":
        monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(trusted))

    failed = fails(connect(f"https://gateway.test:{server.port}"), limits=Limits())
    server.close()

    assert (failed.kind, failed.effect_possible) == (FailureKind.INFRASTRUCTURE, False)
    assert "did not prove who it is" in failed.message
    assert server.requests == []


@pytest.mark.usefixtures("at_home")
def test_a_tls_connection_that_is_cut_leaves_the_effect_open(
    tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    server, trusted, _ = secured(tmp_path, "gateway.test")
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(trusted))
    server.plays(reset(HEAD + b'{"id"'))

    failed = fails(connect(f"https://gateway.test:{server.port}"), limits=Limits())
    server.close()

    assert (failed.kind, failed.effect_possible) == (FailureKind.TRANSIENT, True)
    assert isinstance(failed.__cause__.__cause__, requests.RequestException | ssl.SSLError | OSError)


@pytest.mark.usefixtures("at_home")
def test_a_server_that_never_shakes_hands_holds_nobody_up(connect: Connect):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        started = time.monotonic()
        failed = fails(connect(f"https://gateway.test:{port}"))

    assert (failed.kind, failed.effect_possible) == (FailureKind.INFRASTRUCTURE, False)
    assert time.monotonic() - started < 1.5
