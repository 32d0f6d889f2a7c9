"""The outside world as processes: `gateway` and `inbox`, started on free ports, empty before each test.

One process of each serves the whole session; a test that needs other switches, or that kills, starts its
own by `start_gateway` and `start_inbox`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0


class SandboxRefused(AssertionError):
    """The sandbox answered a control call with an error."""


def call(url: str, method: str = "GET", document: Any = None) -> Any:
    """Send JSON to the sandbox and read JSON back; other answers than 2xx raise."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    body = None if document is None else json.dumps(document)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        text = reply.read().decode()
    if not 200 <= reply.status < 300:
        raise SandboxRefused(f"{method} {url}: {reply.status} {text}")
    return json.loads(text)


def wait_until(true: Callable[[], Any], *, seconds: float = 10.0) -> Any:
    """Ask again and again until the answer is truthy; returns it."""
    end = time.monotonic() + seconds
    while not (answer := true()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {true}")
        time.sleep(0.01)
    return answer


class Process:
    """A sandbox process on a port of its own; `words` are its options."""

    module: str

    def __init__(self, storage: Path, *words: str) -> None:
        self.storage = storage
        self.words = words
        self.start()

    def start(self) -> None:
        """Start, and wait for the line that says where it listens."""
        self.storage.mkdir(parents=True, exist_ok=True)
        with (self.storage / "errors.log").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "--storage", str(self.storage), *self.options()],
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline().decode() if ready else ""
        found = re.search(r"http://[0-9.]+:([0-9]+)", line)
        if found is None:
            self.stop()
            raise AssertionError(f"{self.module} did not start: {line} {self.complaints()}")
        self.url, self.port = found.group(), int(found.group(1))
        self.announcement = line

    def options(self) -> list[str]:
        """The options of this start; a restart keeps the port."""
        return ["--port", str(getattr(self, "port", 0)), *self.words]

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def complaints(self) -> str:
        """What it wrote to its error output."""
        return (self.storage / "errors.log").read_text()


class Gateway(Process):
    """The demonstration gateway and its switches."""

    module = "opsdesk.sandbox.gateway"
    api_key = "sk_test_of_the_tests"

    def control(self, path: str, document: Any = None, *, method: str = "POST") -> Any:
        """Turn a switch under /_sandbox/."""
        return call(f"{self.url}/_sandbox/{path}", method, document)

    def effects(self, *, after: int = 0) -> list[dict[str, Any]]:
        """What really happened, oldest first."""
        return self._log("effects", after)

    def requests(self, *, after: int = 0) -> list[dict[str, Any]]:
        """Every call of the API, oldest first."""
        return self._log("requests", after)

    def _log(self, name: str, after: int) -> list[dict[str, Any]]:
        """All rows of a log, page by page."""
        rows: list[dict[str, Any]] = []
        while page := self.control(f"{name}?after={after}", method="GET")["data"]:
            rows += page
            after = page[-1]["seq"]
        return rows

    def seed(self, payments: list[dict[str, Any]], customers: list[dict[str, Any]] = ()) -> dict[str, int]:
        """Create payments that were made before."""
        return self.control("seed", {"customers": list(customers), "payments": payments})

    def fault(self, fault: str, *, method: str | None = None, path: str = "/v1/", times: int = 1) -> None:
        """Let the next matching requests go wrong."""
        match = {"method": method, "path_prefix": path}
        self.control("faults", {"fault": fault, "match": match, "times": times})

    def chaos(self, shares: dict[str, float], *, seed: int = 7, paths: str = "/v1/") -> None:
        """Let shares of all requests go wrong from now on."""
        self.control("chaos", {"seed": seed, "shares": shares, "paths": paths})

    def behave_well(self) -> None:
        """No more faults of any kind."""
        for name in ("faults", "chaos", "behaviour"):
            self.control(name, method="DELETE")

    def behave(self, **wish: Any) -> None:
        """Switch allow_over_refund or key_mode."""
        self.control("behaviour", wish)

    def webhooks(self, **wish: Any) -> dict[str, Any]:
        """Switch url, secret, delay, duplicates, drop, seed, paused, events; returns how it stands."""
        return self.control("webhooks", wish) if wish else self.control("webhooks", method="GET")

    def fail(self, refund: str, reason: str = "unknown") -> dict[str, Any]:
        """Let the bank send a refund back."""
        return self.control(f"refunds/{refund}/fail", {"reason": reason})

    def settle(self, refund: str) -> dict[str, Any]:
        """Let a pending refund arrive."""
        return self.control(f"refunds/{refund}/settle")

    def refund_in_the_dashboard(self, payment: str, amount: int | None = None) -> dict[str, Any]:
        """Refund without the desk."""
        return self.control("dashboard-refund", {"payment_intent": payment, "amount": amount})

    def age_keys(self, seconds: float) -> None:
        """Make idempotency keys older."""
        self.control("keys/age", {"seconds": seconds})

    def reset(self) -> None:
        """As if it had never run."""
        self.control("reset")

    def post(self, path: str, fields: dict[str, Any] | None = None, **headers: str) -> Answer:
        """Call the API as a client does; keyword `key` is the idempotency key, `fault` goes wrong at once."""
        return self.send("POST", path, urlencode(fields or {}), **headers)

    def get(self, path: str, **headers: str) -> Answer:
        """Read from the API."""
        return self.send("GET", path, None, **headers)

    def send(self, method: str, path: str, body: str | None, **headers: str) -> Answer:
        """One call on a connection of its own; a lost answer raises what the socket raises."""
        sent = {
            "Authorization": f"Bearer {self.api_key}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        for name, value in headers.items():
            known = {"key": "Idempotency-Key", "fault": "X-Sandbox-Fault"}
            sent[known.get(name, name.replace("_", "-"))] = value
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            return Answer(reply.status, dict(reply.getheaders()), reply.read())


class Answer:
    """Status, headers and document of one call."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The document."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object of a refusal."""
        return dict(self.json["error"])


class Inbox(Process):
    """The demonstration mail inbox."""

    module = "opsdesk.sandbox.inbox"

    def options(self) -> list[str]:
        return [*super().options(), "--smtp-port", str(getattr(self, "smtp_port", 0))]

    def start(self) -> None:
        super().start()
        self.smtp_port = int(self.announcement.rsplit(" ", 1)[1])

    def messages(self, to: str = "") -> list[dict[str, Any]]:
        """The mails that came, newest first."""
        return call(f"{self.url}/api/messages?{urlencode({'to': to})}")["messages"]

    def wait_for(self, many: int = 1, *, to: str = "", seconds: float = 10.0) -> list[dict[str, Any]]:
        """The mails, as soon as there are so many."""

        def enough() -> list[dict[str, Any]] | None:
            found = self.messages(to)
            return found if len(found) >= many else None

        return wait_until(enough, seconds=seconds)

    def empty(self) -> None:
        """Throw all mails away."""
        call(f"{self.url}/api/messages", "DELETE")


def _starter(kind: type, folder: Callable[[str], Path], started: list[Any]) -> Callable[..., Any]:
    def start(*words: str, storage: Path | None = None) -> Any:
        process = kind(storage or folder(kind.__name__.lower()), *words)
        started.append(process)
        return process

    return start


@pytest.fixture
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Gateway]]:
    """Start gateways with options of one's own; they end with the test."""
    started: list[Gateway] = []
    yield _starter(Gateway, tmp_path_factory.mktemp, started)
    for process in started:
        process.stop()


@pytest.fixture
def start_inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Inbox]]:
    """Start inboxes with options of one's own; they end with the test."""
    started: list[Inbox] = []
    yield _starter(Inbox, tmp_path_factory.mktemp, started)
    for process in started:
        process.stop()


@pytest.fixture(scope="session")
def gateway_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway of the session; tests use `gateway`."""
    process = Gateway(tmp_path_factory.mktemp("gateway"))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def inbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """The inbox of the session; tests use `inbox`."""
    process = Inbox(tmp_path_factory.mktemp("inbox"))
    yield process
    process.stop()


@pytest.fixture
def gateway(gateway_process: Gateway) -> Gateway:
    """A gateway that has never run and behaves well."""
    gateway_process.reset()
    return gateway_process


@pytest.fixture
def inbox(inbox_process: Inbox) -> Inbox:
    """An empty inbox."""
    inbox_process.empty()
    return inbox_process
