"""A worker on a host whose clock is ten minutes wrong, beside one that is right: nothing is stolen, nothing is twice.

Needs Debian's `faketime`, whose library gives one process a clock of its own.
"""

import os
import shutil
import subprocess
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import psutil
import psycopg
import pytest

from tests.chaos import ordinary, outcome
from tests.chaos.ordinary import FAST_TRACK, INSTANT
from tests.chaos.whole_desk import WholeDesk, beside
from workflows.engine.running import LEASE

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("faketime") is None, reason="There is no `faketime`: apt-get install faketime"),
]
REQUESTS = 40
WORKER = (
    *("-m", "celery", "--quiet", "--app", "opsdesk", "worker", "--pool", "prefork", "--concurrency", "2"),
    *("--without-mingle", "--without-gossip", "--hostname", "wrong@desk", "--loglevel", "INFO"),
)
# Each gateway answer takes long enough that several sweeps find runs and actions in somebody's hands.
SLOW = {"shares": {"slow=4": 0.3}, "paths": "/v1/", "seed": 1}
HELD = """
    SELECT lease_owner, extract(epoch FROM lease_until - clock_timestamp()) FROM workflows_run
     WHERE state = 'running'
    UNION ALL
    SELECT 'sender', extract(epoch FROM lease_until - clock_timestamp()) FROM integrations_action
     WHERE state = 'sending'
"""
LOST = "SELECT (SELECT count(*) FROM workflows_run WHERE lost_leases > 0)"
AGAIN = "SELECT count(*) FROM integrations_action WHERE attempts <> 1"
TWICE = "SELECT run_id, key FROM workflows_steprun WHERE outcome = 'done' GROUP BY run_id, key HAVING count(*) > 1"
# What the wrong clock put off is late by as much; nobody waits for that here.
LATE = [
    ("workflows_run", "wake_at", "state = 'waiting'"),
    ("integrations_notice", "due_at", "state = 'due'"),
    ("approvals_review", "objection_ends_at", "state = 'open'"),
    ("approvals_review", "settles_at", "state IN ('approving', 'rejecting')"),
]
TOLD = "SELECT count(*) FROM workflows_alert WHERE kind = 'clock_skew'"


def own_clock(offset: str) -> dict[str, str]:
    """What a process's environment must say for its clock to differ by so much. Its stopwatch stays true."""
    asked = subprocess.run(
        ["faketime", "-m", "-f", offset, "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
    )
    return {"LD_PRELOAD": asked.stdout.strip(), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def wrong_by(clock: dict[str, str]) -> timedelta:
    """How far the clock of a process with this environment is off."""
    asked = subprocess.run(["date", "+%s"], capture_output=True, env={**os.environ, **clock}, check=True)
    return datetime.fromtimestamp(int(asked.stdout), UTC) - datetime.now(UTC)


def bring_forward(desk: WholeDesk) -> None:
    """Have what is due in more than five minutes looked at now."""
    for table, column, which in LATE:
        desk.change(f"UPDATE {table} SET {column} = now() WHERE {column} > now() + interval '5 min' AND {which}")  # noqa: S608 - names of our own


class Watch:
    """Looks at every lease ten times a second, by the database's clock."""

    def __init__(self, desk: WholeDesk) -> None:
        self.left: list[float] = []
        self.owners: Counter[int] = Counter()
        self.lost = 0
        self._over = threading.Event()
        self._connection = psycopg.connect(desk.database_url, autocommit=True)
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(0.1):
            for owner, left in self._connection.execute(HELD).fetchall():
                self.left.append(float(left))
                self.owners[int(owner.rpartition(":")[2] or 0) if ":" in owner else 0] += 1
            (found,) = self._connection.execute(LOST).fetchall()
            self.lost = max(self.lost, int(found[0]))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()


@pytest.mark.parametrize("offset", ["+10m", "-10m"])
def test_a_worker_whose_clock_is_wrong_neither_steals_nor_loses(tmp_path: Path, offset: str) -> None:
    clock, log = own_clock(offset), tmp_path / "wrong.log"
    assert abs(wrong_by(clock)) > timedelta(minutes=9)
    with WholeDesk(tmp_path) as desk:
        desk.run("-m", "tests.chaos.ordinary", str(REQUESTS), log=tmp_path / "ordinary.log")
        desk.let_windows_end()
        desk.gateway.control("chaos", SLOW)
        with beside(desk, *WORKER, log=log, **clock) as process:
            desk.wait_until(lambda: "ready" in log.read_text(), "the worker did not begin", seconds=120)
            wrong = {process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))}
            with Watch(desk) as watch:
                for number in range(REQUESTS):
                    kind = FAST_TRACK if number % 4 == 3 else INSTANT
                    assert desk.shop.deliver(ordinary.request_for(number, kind, at=datetime.now(UTC))).status == 202
                desk.wait_until(lambda: desk.number(TOLD) > 0, "nobody told of the clock", seconds=240)
                desk.come_to_rest(seconds=300, meanwhile=lambda: bring_forward(desk))

        held = sum(count for owner, count in watch.owners.items() if owner in wrong)
        print(f"{offset}: {held} of {len(watch.left)} looks found a run with the wrong worker; {min(watch.left):.1f} s")
        assert held > 0
        assert min(watch.left) > 0 and max(watch.left) <= LEASE.total_seconds()
        assert (watch.lost, desk.number(AGAIN), desk.rows(TWICE)) == (0, 0, [])
        ends = outcome.assert_every_case_came_to_rest(desk, requests=REQUESTS)
        assert ends == {"done": REQUESTS}
        assert outcome.assert_effects_fit(desk) == REQUESTS
        outcome.assert_invariants_hold(desk, tmp_path)
