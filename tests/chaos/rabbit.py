"""Debian's RabbitMQ in a folder of its own, on ports of its own: killed, and started with what it has on disk."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kombu import Connection

from tests.plugins.desk import free_ports

STARTS_WITHIN = 120.0
# Not the one in PATH, which changes to an account that must not read the tests' folders.
PROGRAM = next(iter(sorted(Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server"))), None)
EPMD = shutil.which("epmd")

needs_rabbitmq = pytest.mark.skipif(
    PROGRAM is None or EPMD is None,
    reason="RabbitMQ is not installed (Debian: `apt-get install rabbitmq-server`)",
)


class Rabbit:
    """One node; `url` is what BROKER_URL is to be."""

    def __init__(self, folder: Path) -> None:
        self.port, distribution, names = free_ports(3)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.log = folder / "rabbit.log"
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"opsdesk-{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        assert EPMD is not None
        # The name server of its node; otherwise the node starts one that outlives it.
        self._names = subprocess.Popen([EPMD], env=self._environment, stderr=subprocess.DEVNULL)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        with self.log.open("ab") as log:
            self._node = subprocess.Popen(
                [str(PROGRAM)], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + STARTS_WITHIN
        while not self._answers():
            assert self._node.poll() is None, self.log.read_text()[-3_000:]
            assert time.monotonic() < end, self.log.read_text()[-3_000:]
            time.sleep(0.3)

    def _answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except (OSError, *Connection(self.url).connection_errors):
            return False
        return True

    def kill(self) -> None:
        """End it, and all it started, without a chance to write anything down."""
        os.killpg(self._node.pid, signal.SIGKILL)
        self._node.wait(10)

    def end(self) -> None:
        """No more of it."""
        if self._node.poll() is None:
            self.kill()
        self._names.kill()
        self._names.wait(10)


@contextmanager
def rabbit_in(folder: Path) -> Iterator[Rabbit]:
    """Have one until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    rabbit = Rabbit(folder)
    try:
        rabbit.start()
        yield rabbit
    finally:
        rabbit.end()
