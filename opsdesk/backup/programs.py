"""PostgreSQL's own programs at the desk's database, and sessions beside Django's."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import structlog
from django.db import connection

from opsdesk.embedded.addresses import places
from opsdesk.embedded.postgres import Postgres
from opsdesk.lib.errors import DomainError

Session = psycopg.Connection[tuple[Any, ...]]
# Whoever alters a table now is waited for that long; all others are never in the way, nor is this in theirs.
LOCK_SECONDS = 60


class ProgramFailed(DomainError):
    """A program of PostgreSQL ended badly; its own words."""


@contextmanager
def session(database: str = "") -> Iterator[Session]:
    """A session of its own, without the time-outs of the desk's processes, by default in the desk's database."""
    with psycopg.connect(**_reach(database), autocommit=True, connect_timeout=5) as found:
        yield found


@contextmanager
def working_in(database: str) -> Iterator[None]:
    """Have Django work in another database of the same server, for as long as it takes."""
    before = dict(connection.settings_dict)
    connection.close()
    options = before["OPTIONS"] | {"options": ""}
    connection.settings_dict.update({"NAME": database, "OPTIONS": options})
    try:
        with structlog.contextvars.bound_contextvars(database=database):
            yield
    finally:
        connection.close()
        connection.settings_dict.update(before)


def dump(file: Path, *, snapshot: str) -> None:
    """Write everything that a snapshot shows into a file of pg_dump's own format. Raises ProgramFailed, OSError."""
    words = ["pg_dump", "--format", "custom", "--snapshot", snapshot, f"--lock-wait-timeout={LOCK_SECONDS}s"]
    with file.open("xb") as output:
        _run([*words, *_address()], stdout=output)
        os.fsync(output.fileno())


def fill(database: str, file: Path) -> None:
    """Put a dump into an empty database. Raises ProgramFailed."""
    with file.open("rb") as content:
        _run(["pg_restore", "--exit-on-error", "--no-owner", *_address(database)], stdin=content)


def rows_in(file: Path) -> dict[str, int]:
    """Read a whole dump, every byte of it, and count the rows of each table. Raises ProgramFailed."""
    counts, table = dict[str, int](), ""
    with _program(["pg_restore", "--data-only", "--file", "-", str(file)], stdout=subprocess.PIPE) as reading:
        for line in reading.stdout or ():
            if table:
                # A row is one line: line ends within it are written as two characters.
                if line == b"\\.\n":
                    table = ""
                else:
                    counts[table] += 1
            elif line.startswith(b"COPY public."):
                table = line.split(b" ", 2)[1].decode().removeprefix("public.").strip('"')
                counts[table] = 0
        _, said = reading.communicate()
    if reading.returncode:
        raise ProgramFailed(_words("pg_restore", said))
    return counts


def _run(words: list[str], **streams: Any) -> None:
    with _program(words, **streams) as program:
        _, said = program.communicate()
    if program.returncode:
        raise ProgramFailed(_words(words[0], said))


def _program(words: list[str], **streams: Any) -> "subprocess.Popen[bytes]":
    name, *rest = words
    password = str(connection.settings_dict["PASSWORD"])
    return subprocess.Popen(  # noqa: S603 - a program of the package and words of our own
        [str(Postgres(places()).binaries() / name), *rest],
        stderr=subprocess.PIPE,
        env={**os.environ, **({"PGPASSWORD": password} if password else {})},
        **streams,
    )


def _words(name: str, said: bytes) -> str:
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    return f"{name}: {' '.join(lines[:2]) or 'it did not say why'}"


def _reach(database: str) -> dict[str, Any]:
    """Where the desk's database is, for libpq."""
    known = connection.settings_dict
    parts = {"host": known["HOST"], "port": known["PORT"], "user": known["USER"], "password": known["PASSWORD"]}
    return {name: value for name, value in parts.items() if value} | {"dbname": database or known["NAME"]}


def _address(database: str = "") -> list[str]:
    """The same as options of a program; the password goes by its environment."""
    return [f"--{name}={value}" for name, value in _reach(database).items() if name not in ("password", "user")] + (
        [f"--username={connection.settings_dict['USER']}"] if connection.settings_dict["USER"] else []
    )
