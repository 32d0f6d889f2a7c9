"""A whole desk as a test starts it: `manage.py up` in a folder and on ports of its own."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import psutil

from opsdesk.embedded.addresses import ROOT, Places, places
from opsdesk.embedded.preflight import clear_leftovers
from opsdesk.embedded.processes import left_behind
from tests.plugins.servers import throw_away

PORTS = ("OPSDESK_PORT", "OPSDESK_GATEWAY_PORT", "OPSDESK_INBOX_PORT", "OPSDESK_SMTP_PORT")
# What the test session set for itself, or the desk under test would take for given.
NOT_FOR_IT = ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "OPSDESK_TEST_SOCKET", "OPSDESK_PLAIN_STATIC")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class RunningDesk:
    """Start it with `with`; whatever happens, nothing of it is left afterwards."""

    def __init__(
        self, folder: Path, *, program: Sequence[str] = ("manage.py", "up"), clean_up: bool = True, **environment: str
    ) -> None:
        self._clean_up = clean_up
        self.var = folder / "var"
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.output = ""
        self._command = [sys.executable, *program]
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in NOT_FOR_IT},
            **{name: str(port) for name, port in self.ports.items()},
            "OPSDESK_VAR": str(self.var),
            **environment,
        }

    @property
    def places(self) -> Places:
        """Its folders."""
        return places(self.var)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.ports['OPSDESK_PORT']}"

    def start(self) -> None:
        """Start the command; `wait_for` tells how far it is."""
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        for line in process.stdout:
            self.output += line

    def wait_for(self, text: str, *, seconds: float = 60, times: int = 1) -> None:
        """Wait until it has written the text so many times; a command that has ended will not write it."""

        def written() -> bool:
            over = self.process.poll() is not None
            if over:
                self._reader.join(5)
            assert not over or self.output.count(text) >= times, f"it ended without {text!r}:\n{self.output}"
            return self.output.count(text) >= times

        self.wait_until(written, f"it never wrote {text!r}", seconds=seconds)

    def wait_until(self, true: Callable[[], bool], complaint: str, *, seconds: float = 60) -> None:
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{complaint}; it wrote:\n{self.output}"
            time.sleep(0.05)

    def wait_for_end(self, *, seconds: float = 60) -> int:
        """Wait until the command ends by itself; returns its status, its output is complete then."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def processes(self) -> dict[str, list[psutil.Process]]:
        """What runs of it, by service."""
        return left_behind(self.var)

    def leader(self, service: str) -> psutil.Process:
        """The topmost process of a service."""
        running = self.processes()[service]
        pids = {process.pid for process in running}
        return next(process for process in running if process.ppid() not in pids)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and return its status."""
        self.process.send_signal(with_signal)
        return self.wait_for_end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._clean_up:
            clear_leftovers(self.places)
            throw_away(self.places)
