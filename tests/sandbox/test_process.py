"""The processes: one sentence when they cannot start, a quiet end, and no trust in what comes by wire."""

import ast
import contextlib
import http.client
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.sandbox import ROOT, Gateway, Inbox

PACKAGE = ROOT / "opsdesk" / "sandbox"


def start(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    return python("-m", module, *words)


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("module", ["opsdesk.sandbox.gateway", "opsdesk.sandbox.inbox"])
def test_a_port_in_use_is_one_sentence(module: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = start(module, "--port", str(port), "--storage", str(tmp_path))

    assert ended.returncode == 1
    assert ended.stderr == (
        f"Port {port} on 127.0.0.1 is already in use: stop what listens there or choose another port.\n"
    )


def test_a_taken_smtp_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = start("opsdesk.sandbox.inbox", "--port", "0", "--smtp-port", str(port), "--storage", str(tmp_path))

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Port {port} on 127.0.0.1 is already in use")


@pytest.mark.parametrize("faults", ["{broken", '{"weather": 1}', '{"faults": [{"fault": "explode"}]}', "no/file"])
def test_faults_that_make_no_sense_are_one_sentence(faults: str, tmp_path: Path) -> None:
    ended = start("opsdesk.sandbox.gateway", "--port", "0", "--storage", str(tmp_path), "--faults", faults)

    assert ended.returncode == 1
    assert ended.stderr.startswith("--faults")
    assert ended.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    ended = start("opsdesk.sandbox.gateway", "--port", "0", "--storage", str(tmp_path / "file" / "folder"))

    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1


def test_they_end_in_peace_when_told(start_gateway, start_inbox) -> None:
    gateway, inbox = start_gateway(), start_inbox()
    kept = http.client.HTTPConnection("127.0.0.1", gateway.port)
    kept.request("GET", "/healthz")
    kept.getresponse().read()

    assert (gateway.stop(), inbox.stop()) == (0, 0)
    assert gateway.complaints() == inbox.complaints() == ""


def test_they_say_that_they_are_well(gateway: Gateway, inbox: Inbox) -> None:
    assert gateway.get("/healthz").json == {"status": "ok", "payments": 0}
    connection = http.client.HTTPConnection("127.0.0.1", inbox.port)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b'{"status":"ok","messages":0}'


def talk(port: int, sent: bytes) -> bytes:
    """Send bytes and read until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            return b"".join(iter(lambda: wire.recv(65_536), b""))
    return b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / SPDY/3\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbroken\r\n\r\n", 400),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n", 431),
        (b"POST /v1/refunds HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/refunds HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", 400),
        (b"POST /v1/refunds HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /v1/refunds HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
    ],
)
def test_broken_requests_are_refused_and_do_no_harm(gateway: Gateway, sent: bytes, status: int) -> None:
    assert talk(gateway.port, sent).startswith(f"HTTP/1.1 {status} ".encode())
    assert gateway.get("/healthz").status == 200


def test_http_1_0_and_close_end_the_connection(gateway: Gateway) -> None:
    for sent in (b"GET /healthz HTTP/1.0\r\n\r\n", b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"):
        assert talk(gateway.port, sent).endswith(b'{"status":"ok","payments":0}')


def test_a_connection_serves_many_requests(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    connection.connect()
    own = connection.sock.getsockname()
    for _ in range(3):
        connection.request("HEAD", "/")
        assert connection.getresponse().read() == b""
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b'{"status":"ok","payments":0}'
    assert connection.sock.getsockname() == own


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"\xff\xfe=1", ""), (b"a=%ff", ""), (b'{"amount": 1}', "application/json"), (b"a[b][c]=1", ""), (b"[]=1", "")],
)
def test_bodies_that_are_no_form_are_refused(gateway: Gateway, body: bytes, kind: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    headers = {
        "Authorization": f"Bearer {gateway.api_key}",
        "Content-Type": kind or "application/x-www-form-urlencoded",
    }
    connection.request("POST", "/v1/refunds", body, headers)

    assert connection.getresponse().status == 400


def imported(path: Path) -> set[str]:
    """The modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_the_sandbox_knows_nothing_but_itself_python_and_the_smtp_server() -> None:
    files = list(PACKAGE.rglob("*.py"))
    outside = {
        name
        for path in files
        for name in imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith("opsdesk.sandbox")
    }

    assert len(files) > 20
    assert outside == {"aiosmtpd.smtp"}


def test_the_desk_knows_nothing_of_the_sandbox() -> None:
    apps = ("opsdesk", "accounts", "auditlog", "workflows", "integrations", "approvals")
    files = [path for app in apps for path in (ROOT / app).rglob("*.py") if PACKAGE not in path.parents]

    assert len(files) > 10
    assert [path for path in files if any(name.startswith("opsdesk.sandbox") for name in imported(path))] == []


@pytest.mark.parametrize("module", ["gateway", "inbox"])
def test_starting_the_sandbox_loads_nothing_of_the_desk(module: str) -> None:
    loaded = python(
        "-c",
        f"import opsdesk.sandbox.{module}.__main__, sys; print(*sys.modules, sep='\\n')",
    ).stdout.split()

    assert f"opsdesk.sandbox.{module}.__main__" in loaded
    desk = {"django", "celery", "accounts", "workflows", "integrations", "approvals", "auditlog"}
    assert desk.isdisjoint(name.partition(".")[0] for name in loaded)
    assert {name for name in loaded if name.startswith("opsdesk.") and ".sandbox" not in name} == set()
