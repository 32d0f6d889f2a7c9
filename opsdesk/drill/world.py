"""The pretend outside of one drill: sandbox processes of its own, on free ports, gone when it is over."""

import json
import re
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from integrations.errors import AddressRefused
from integrations.http.addresses import letting_through
from integrations.http.transport import Limits, NoAnswer, exchange
from opsdesk.lib.errors import DomainError

START_SECONDS = 30.0
_LIMITS = Limits(read=10.0, total=10.0)
_ADDRESS = re.compile(r"http://127\.0\.0\.1:[0-9]+")


class NoWorld(DomainError):
    """The sandbox did not start."""


@dataclass(frozen=True, slots=True)
class World:
    """Where the sandbox of this drill listens."""

    gateway: str
    books: str

    def control(self, path: str, wish: object) -> None:
        """Turn a switch of the gateway. Raises NoWorld with its own words when it refuses."""
        body, headers = json.dumps(wish).encode(), {"Content-Type": "application/json"}
        try:
            answer = exchange("POST", f"{self.gateway}/_sandbox/{path}", headers=headers, body=body, limits=_LIMITS)
        except (NoAnswer, AddressRefused) as trouble:
            raise NoWorld(f"The sandbox does not answer: {trouble}") from trouble
        if answer.status >= 400:
            raise NoWorld(f"The sandbox refused {path}: {answer.body.decode(errors='replace')[:200]}")


@contextmanager
def world() -> Iterator[World]:
    """Start both systems, let this drill alone call them, and end them. Raises NoWorld."""
    with ExitStack() as open_still, tempfile.TemporaryDirectory(prefix="opsdesk-drill-") as folder:
        gateway = open_still.enter_context(_process("gateway", "--storage", folder))
        books = open_still.enter_context(_process("books"))
        addresses = [urlsplit(url).netloc for url in (gateway, books)]
        open_still.enter_context(letting_through(addresses))
        yield World(gateway, books)


@contextmanager
def _process(name: str, *words: str) -> Iterator[str]:
    """One process of the sandbox; gives the address it says."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
        [sys.executable, "-m", f"opsdesk.sandbox.{name}", "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(settings.BASE_DIR),
    )
    try:
        out = process.stdout
        ready = select.select([out], [], [], START_SECONDS)[0] if out is not None else []
        said = out.readline().decode(errors="replace") if ready and out is not None else ""
        found = _ADDRESS.search(said)
        if found is None:
            raise NoWorld(f"The sandbox process {name} did not start: {said.strip()[:200]}")
        yield found.group()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
