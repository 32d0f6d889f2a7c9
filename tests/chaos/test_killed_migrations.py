"""`manage.py prepare` is killed with -9 in one migration after another: the next try goes on. Long test."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from psycopg.conninfo import make_conninfo

from opsdesk.backup import programs
from opsdesk.embedded.addresses import ROOT, places
from opsdesk.embedded.postgres import Postgres
from tests.plugins.desk import NOT_FOR_IT

# One try computes for half a minute where it is not killed; a noisy machine makes it some more.
WITHIN = 300.0
# Every so many migrations one is killed, within so many seconds: longer than any of them takes here.
EVERY, SECONDS = 4, 0.4
NAME = "opsdesk_killed"
pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True)]


def reach(name: str) -> str:
    """A database on the server of the session, for libpq."""
    known = connection.settings_dict
    parts = {"host": known["HOST"], "port": known["PORT"], "user": known["USER"], "password": known["PASSWORD"]}
    return make_conninfo(dbname=name, **{part: value for part, value in parts.items() if value})


@pytest.fixture
def empty(transactional_db: None) -> Iterator[str]:
    """A database in which nothing is."""
    with programs.session("postgres") as server:
        server.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {NAME} TEMPLATE template0 ENCODING 'UTF8'")
        try:
            yield reach(NAME)
        finally:
            server.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


def applied(database: str) -> int:
    """How many migrations count as done."""
    with psycopg.connect(database, autocommit=True) as session:
        (there,) = session.execute("SELECT to_regclass('django_migrations') IS NOT NULL").fetchone() or (False,)
        found = session.execute("SELECT count(*) FROM django_migrations").fetchone() if there else None
    return int(found[0]) if found else 0


def prepare(database: str, folder: Path) -> "subprocess.Popen[bytes]":
    given = {name: value for name, value in os.environ.items() if name not in NOT_FOR_IT}
    with (folder / "prepare.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "manage.py", "prepare", "--without-demo"], cwd=ROOT, stdout=log, stderr=log,
            env={**given, "DATABASE_URL": database, "OPSDESK_VAR": str(folder)},
        )  # fmt: skip


def killed(database: str, folder: Path, *, after: int, pause: float) -> bool:
    """Whether it was killed, so long after that many migrations were done; False where it came to its end first."""
    process, end = prepare(database, folder), time.monotonic() + WITHIN
    while process.poll() is None and applied(database) < after:
        assert time.monotonic() < end, (folder / "prepare.log").read_text()
        time.sleep(0.02)
    try:
        ended = process.wait(pause)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(WITHIN)
        return True
    assert ended == 0, (folder / "prepare.log").read_text()
    return False


def schema(database: str) -> str:
    """Everything but the rows, as pg_dump writes it; what it makes up anew each time is left out."""
    words = [str(Postgres(places()).binaries() / "pg_dump"), "--schema-only", "--dbname", database]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in said.splitlines() if not line.startswith(("\\restrict", "\\unrestrict", "--")))


def test_whatever_migration_is_killed_the_next_try_comes_to_the_same_end(empty: str, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    chance, kills = random.Random(seed), 0
    print(f"seed {seed}")
    number = len(MigrationLoader(connection).graph.nodes)
    while killed(empty, tmp_path, after=applied(empty) + EVERY, pause=chance.uniform(0, SECONDS)):
        kills += 1
    print(f"killed {kills} times in {number} migrations")

    assert applied(empty) == number and kills > number / EVERY / 3
    with psycopg.connect(empty) as session:
        assert session.execute("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid").fetchall() == []
    assert schema(empty) == schema(reach(connection.settings_dict["NAME"]))
