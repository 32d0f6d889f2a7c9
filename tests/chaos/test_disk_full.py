"""The disk of the database is full: what is acknowledged is stored, and with room again everything goes on. Long.

Needs root, for a file system of its own.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from opsdesk.embedded.folders import open_folder
from opsdesk.embedded.postgres import Postgres
from tests.chaos import outcome
from tests.chaos.test_intake import own_server, started
from tests.chaos.traffic import Traffic, real_requests
from tests.chaos.whole_desk import WholeDesk

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="Only root may mount a disk that is soon full."),
]
MEGABYTES = 1_500


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own in this folder."""
    open_folder(folder)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=0755", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"This machine mounts no disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Take all the room that is left."""
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024 * 1024))
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))


def use_up_the_journal(url: str) -> None:
    """Begin new segments of the database's journal until there is no room for one: then it stops."""
    end = time.monotonic() + 60
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < end:
            connection.execute("SELECT pg_logical_emit_message(false, 'full', repeat('x', 1000000))")
    assert time.monotonic() < end, "the journal never filled up"


def test_on_a_full_disk_nothing_is_acknowledged_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    requests = real_requests(300)
    with own_server(tmp_path / "database") as own, contextlib.ExitStack() as running:
        running.enter_context(small_disk(own.postgres.parent))
        database, ballast = Postgres(own), own.postgres.parent / "ballast"
        server = running.enter_context(started(database))
        url = f"postgresql://opsdesk@/opsdesk?host={quote(str(own.sockets), safe='')}"
        with WholeDesk(tmp_path, DATABASE_URL=url) as desk:
            desk.let_windows_end()
            with Traffic(desk, requests, per_second=20) as traffic:
                traffic.wait_until(answers=60, of=202, seconds=120)
                fill(ballast)
                use_up_the_journal(url)
                traffic.wait_until(answers=40, of=503, seconds=120)

                ballast.unlink()
                if server.poll() is not None:
                    running.enter_context(started(database))
                traffic.finish(seconds=180)

            print(traffic.statuses, traffic.times(202), traffic.times(503), sep="\n")
            assert set(traffic.statuses) <= {202, 200, 503}
            assert traffic.broken == []
            assert all(retry_after > 0 for _, status, retry_after, _ in traffic.answers if status == 503)
            stored = [key for (key,) in desk.rows("SELECT dedupe_key FROM workflows_event WHERE source LIKE '%%/shop'")]
            assert sorted(stored) == sorted(traffic.taken())

            desk.come_to_rest(seconds=240)
            outcome.assert_every_case_came_to_rest(desk, requests=len(requests))
            print(f"{outcome.assert_effects_fit(desk)} refunds at the gateway")
            outcome.assert_invariants_hold(desk, tmp_path)
