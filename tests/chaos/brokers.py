"""A broker that belongs to the test, on a port of its own: killed, and started empty."""

import contextlib
import socket
import subprocess
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

    def urls(self) -> dict[str, str]:
        """The two variables that give it to a desk."""
        server = f"redis://127.0.0.1:{self.port}"
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
