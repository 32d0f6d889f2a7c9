"""Brokers that belong to the test, on ports of their own: killed, started empty, reached through a bad line."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opsdesk.embedded.addresses import places
from opsdesk.embedded.valkey import Valkey
from tests.plugins.desk import free_ports

STARTS_WITHIN = 30.0


class OwnBroker:
    """The Redis-compatible server that comes along, without persistence: killed, it has forgotten everything."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self.start()

    def urls(self, port: int | None = None) -> dict[str, str]:
        """The two variables that give it to a desk; another port is that of a line in between."""
        server = f"redis://127.0.0.1:{port or self.port}"
        return {"REDIS_URL": f"{server}/0", "BROKER_URL": f"{server}/1"}

    def start(self) -> None:
        """Start it, empty."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(Valkey(places())._binary()), *options, "--save", "", "--appendonly", "no"], stdout=log, stderr=log
            )
        end = time.monotonic() + STARTS_WITHIN
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "broker.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as line:
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
        return False

    def kill(self) -> None:
        """End it without a chance to write anything down."""
        self._process.kill()
        self._process.wait(10)


@contextmanager
def own_broker(folder: Path) -> Iterator[OwnBroker]:
    """Have one until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    broker = OwnBroker(folder)
    try:
        yield broker
    finally:
        broker.kill()


class BadLine:
    """A TCP line to a server that can fall silent (nothing passes, nothing is refused) or be cut."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._passing = threading.Event()
        self._passing.set()
        self._ended = False
        self._ends: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        """From now on it accepts and answers nothing."""
        self._passing.clear()

    def speak(self) -> None:
        """What was held passes now."""
        self._passing.set()

    def cut(self) -> None:
        """Reset every connection there is."""
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """No more line."""
        self._ended = True
        self._passing.set()
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._ended:
            with contextlib.suppress(OSError):
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to_port), 2)
                except OSError:
                    near.close()
                    continue
                self._ends |= {near, far}
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65_536):
                self._passing.wait()
                target.sendall(part)
        for end in (source, target):
            self._ends.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def bad_line(to_port: int) -> Iterator[BadLine]:
    """Have one until the end of the block."""
    line = BadLine(to_port)
    try:
        yield line
    finally:
        line.close()
