"""Servers as Debian packages them, started by a test in a folder of its own: a PostgreSQL 15 and a Redis."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsdesk.embedded.addresses import server_account
from opsdesk.embedded.processes import as_account
from tests.plugins.desk import free_ports

STARTS_WITHIN = 60.0
PASSWORD = "only-of-the-tests"
_binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts[4].zfill(3))
POSTGRES = _binaries[0].parent if _binaries else None
REDIS = shutil.which("redis-server")

needs_debian_servers = pytest.mark.skipif(
    POSTGRES is None or REDIS is None,
    reason="PostgreSQL and Redis are not installed (Debian: `apt-get install postgresql-15 redis-server`)",
)


def account() -> dict[str, Any]:
    """Arguments of subprocess for a server that refuses to run as root."""
    nobody = server_account()
    return as_account((nobody.pw_uid, nobody.pw_gid) if nobody else None)


@contextmanager
def server_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder for a server's files that the server's account can reach, wherever `parent` lies."""
    nobody = server_account()
    folder = Path("/var/tmp") / f"opsdesk-{name}-{os.getpid()}" if nobody else parent / name  # noqa: S108 - made 0700
    folder.mkdir(mode=0o700)
    if nobody:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(command: Sequence[str], *, ready: Callable[[], bool], folder: Path, **wishes: Any) -> Iterator[None]:
    """Run a server until the end of the block; what it writes is kept for a complaint."""
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, **wishes)
        try:
            end = time.monotonic() + STARTS_WITHIN
            while not ready():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def debian_postgres(parent: Path) -> Iterator[str]:
    """A cluster whose only other account owns one database, as an administrator would set it up; gives its URL."""
    assert POSTGRES is not None
    (port,) = free_ports(1)
    with server_folder(parent, "postgres") as folder:
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        data = str(folder / "data")
        initdb = [str(POSTGRES / "initdb"), "-D", data, "-U", "admin", "-A", "scram-sha-256", "--pwfile", str(secret)]
        subprocess.run([*initdb, "-E", "UTF8", "--no-sync"], check=True, capture_output=True, cwd="/", **account())
        options = ["-D", data, "-k", str(folder), "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
        admin = f"postgresql://admin:{PASSWORD}@127.0.0.1:{port}/postgres"
        with running([str(POSTGRES / "postgres"), *options], ready=lambda: _opens(admin), folder=folder, **account()):
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute(f"CREATE ROLE desk LOGIN CREATEDB PASSWORD '{PASSWORD}'")
                connection.execute("CREATE DATABASE desk OWNER desk")
            yield f"postgresql://desk:{PASSWORD}@127.0.0.1:{port}/desk"


def _opens(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def debian_redis(parent: Path) -> Iterator[str]:
    """A Redis that asks for a password; gives its URL without the number of a database."""
    assert REDIS is not None
    (port,) = free_ports(1)
    with server_folder(parent, "redis") as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--dir", str(folder)]
        command = [REDIS, *options, "--appendonly", "yes", "--save", ""]
        with running(command, ready=lambda: listens(port), folder=folder, **account()):
            yield f"redis://:{PASSWORD}@127.0.0.1:{port}"


def listens(port: int) -> bool:
    """Whether somebody answers there."""
    with socket.socket() as line:
        line.settimeout(1)
        return line.connect_ex(("127.0.0.1", port)) == 0
