"""A whole demonstration desk, started by its one command, driven over HTTP and judged from outside."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from opsdesk.demo import cast
from opsdesk.demo.shop import Shop
from opsdesk.embedded.addresses import ROOT
from opsdesk.embedded.desk import AUTOMATION_WORKERS, WEB_WORKERS
from opsdesk.embedded.processes import alive
from tests.plugins.desk import RunningDesk
from tests.plugins.migrated import copy_cluster
from tests.plugins.sandbox import Gateway

# A noisy machine is slow, not wrong: these only end a test that would never end.
OPENS_WITHIN, COMMAND_WITHIN = 420.0, 420.0
CHILDREN_OF_EACH = min(WEB_WORKERS, AUTOMATION_WORKERS)
# Some twenty in a hundred calls about refunds go wrong, in every way in which no wrong amount moves.
CHAOS = {
    "lost_before": 0.02,
    "lost_after": 0.04,
    "reset_mid_body": 0.02,
    "effect_later=0.5": 0.01,
    "500_before": 0.01,
    "500_after": 0.03,
    "503": 0.02,
    "429=1": 0.03,
    "slow=1": 0.02,
}
# What is still under way by itself: nothing of it may be left once a desk has come to rest. Beside it, what only
# waits for an answer that was lost: where the gateway repeats an error for a key, that takes until the key dies.
_MOVING = """
    WITH lost AS (SELECT id, run_id FROM integrations_action WHERE state = 'unknown' AND attempts > 2)
    SELECT (SELECT count(*) FROM lost),
           (SELECT count(*) FROM workflows_event WHERE state = 'received'),
           (SELECT count(*) FROM workflows_run
             WHERE (state IN ('ready', 'running') OR state = 'waiting' AND waits_for <> 'review')
               AND id NOT IN (SELECT run_id FROM lost)),
           (SELECT count(*) FROM approvals_review
             WHERE state IN ('approving', 'rejecting') OR state = 'open' AND tier = 'fast_track'),
           (SELECT count(*) FROM integrations_action WHERE due_at IS NOT NULL AND id NOT IN (SELECT id FROM lost)),
           (SELECT count(*) FROM integrations_payment WHERE reread_at IS NOT NULL),
           (SELECT count(*) FROM integrations_notice WHERE state = 'due')
"""
_WORDS = ("lost answers", "events", "runs", "reviews", "actions", "payments to read again", "notices")


class DemoGateway(Gateway):
    """The switches of a desk's own demonstration gateway; its process belongs to the desk."""

    api_key = cast.GATEWAY_KEY

    def __init__(self, port: int) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def undelivered(self) -> int:
        """Webhooks that the desk has not taken yet."""
        return int(self.webhooks()["deliveries"].get("pending", 0))


class WholeDesk(RunningDesk):
    """`manage.py up` with the demonstration; `options` are those of the command.

    An embedded database is migrated when it starts for the first time: desks on given servers and tests/ground begin
    with an empty one.
    """

    def __init__(self, folder: Path, *options: str, clean_up: bool = True, **environment: str) -> None:
        super().__init__(
            folder, program=("manage.py", "up", "--without-replay", *options), clean_up=clean_up, **environment
        )
        self.gateway = DemoGateway(self.ports["OPSDESK_GATEWAY_PORT"])
        self.shop = Shop(f"{self.url}/hooks/{cast.ORGANIZATION}/shop/", cast.SHOP_WEBHOOK_SECRET)

    def start(self) -> None:
        """Start it and wait until it says that it is open."""
        self.output = ""
        if not (self._environment.get("DATABASE_URL") or self.places.postgres.exists()):
            copy_cluster(self.places)
        super().start()
        self.wait_for("The desk is open", seconds=OPENS_WITHIN)

    @property
    def database_url(self) -> str:
        """Its database, as this process reaches it."""
        return self._environment.get("DATABASE_URL") or (
            f"postgresql://opsdesk@/opsdesk?host={quote(str(self.places.sockets), safe='')}"
        )

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask its database. Raises psycopg.OperationalError while there is none."""
        with psycopg.connect(self.database_url, autocommit=True, connect_timeout=5) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def number(self, statement: str, *values: Any) -> int:
        """The one number that a statement gives."""
        return int(self.rows(statement, *values)[0][0])

    def change(self, statement: str, *values: Any) -> int:
        """Change rows behind its back; returns how many."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(statement.encode(), values).rowcount

    def spawn(self, *words: str, log: Path, **environment: str) -> "subprocess.Popen[bytes]":
        """Start another Python process with this desk's settings and more; what it writes goes to the file."""
        settings = {**self._environment, **environment}
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, *words], cwd=ROOT, env=settings, stdout=output, stderr=subprocess.STDOUT
            )

    def run(self, *words: str, log: Path, seconds: float = COMMAND_WITHIN) -> str:
        """Run another Python process with this desk's settings to its good end; returns what it wrote."""
        process = self.spawn(*words, log=log)
        try:
            status = process.wait(seconds)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        written = log.read_text(errors="replace")
        assert status == 0, f"{words} ended with {status}:\n{written}\nthe desk wrote:\n{self.tail()}"
        return written

    def tail(self) -> str:
        """The end of what the desk wrote."""
        return self.output[-6_000:]

    def family(self, victim: str) -> list[psutil.Process]:
        """The processes of a service, or one child of it ("a child of web")."""
        service = victim.rpartition(" ")[2]
        leader = self.leader(service)
        return [leader, *leader.children(recursive=True)] if victim == service else leader.children()[:1]

    def freeze(self, victim: str) -> list[psutil.Process]:
        """Stop a service, or one child of it, so that it can be killed in one moment."""
        family = self.family(victim)
        for process in family:
            process.suspend()
        return family

    def runs_again(self, victim: str, *, instead_of: Sequence[psutil.Process]) -> bool:
        """Whether others run where these ran."""
        service = victim.rpartition(" ")[2]
        if any(map(alive, instead_of)) or not self.processes().get(service):
            return False
        return victim == service or len(self.leader(service).children()) >= CHILDREN_OF_EACH

    def let_windows_end(self, *, minutes: int = 0, undo_seconds: int = 1) -> None:
        """Have fast-track cases leave this long after their notice arrived, and votes count at once."""
        self.change(
            "UPDATE approvals_tiersettings SET objection_minutes = %s, undo_seconds = %s", minutes, undo_seconds
        )

    def moving(self) -> dict[str, int]:
        """What is still under way by itself, by kind."""
        (counts,) = self.rows(_MOVING)
        moving = dict(zip(_WORDS, map(int, counts), strict=True)) | {"webhooks": self.gateway.undelivered()}
        return {words: count for words, count in moving.items() if count}

    def come_to_rest(
        self, *, seconds: float, meanwhile: Callable[[], object] = lambda: None, but_for_lost_answers: bool = False
    ) -> None:
        """Wait until only people are waited for; `meanwhile` is called again and again."""
        end = time.monotonic() + seconds
        settled = {"lost answers"} if but_for_lost_answers else set()
        while left := {words: count for words, count in self.moving().items() if words not in settled}:
            assert time.monotonic() < end, (
                f"After {seconds:.0f} s there are still {left}; the desk wrote:\n{self.tail()}"
            )
            meanwhile()
            self.let_pauses_pass()
            time.sleep(0.5)

    def let_a_day_pass(self) -> int:
        """Make what was sent and never answered a day older, here and at the gateway; returns how many actions."""
        aged = self.change(
            "UPDATE integrations_action SET first_sent_at = first_sent_at - interval '25 hours', due_at = now()"
            " WHERE state = 'unknown'"
        )
        if aged:
            self.gateway.age_keys(25 * 3600)
        return aged

    def let_pauses_pass(self) -> None:
        """Have what was lost a day ago looked up again at once: a look-up that breaks off waits ten minutes."""
        self.change(
            "UPDATE integrations_action SET due_at = now()"
            " WHERE state = 'unknown' AND due_at > now() AND first_sent_at < now() - interval '1 day'"
        )


@contextmanager
def beside(desk: WholeDesk, *words: str, log: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Have one more process of the desk run."""
    process = desk.spawn(*words, log=log, **environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


class Replay:
    """`manage.py replay` beside the test."""

    def __init__(self, desk: WholeDesk, log: Path, *, count: int, seed: int, speed: float = 0) -> None:
        words = ["--count", str(count), "--seed", str(seed), "--duplicates", "0.2", "--out-of-order", "0.1"]
        pace = ["--speed", str(speed)] if speed else []
        self.log = log
        self.process = desk.spawn("manage.py", "replay", *words, "--late", "0.05", *pace, log=log)

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def finish(self, *, seconds: float) -> str:
        """Wait for its good end; returns its summary."""
        try:
            status = self.process.wait(seconds)
        finally:
            self.end()
        written = self.log.read_text(errors="replace")
        assert status == 0, f"The replay ended with {status}:\n{written}"
        return written

    def end(self) -> None:
        """Stop it, whatever it does."""
        if self.runs:
            self.process.kill()
            self.process.wait()


class Stopwatch:
    """How long after its start something first held, by name; each is asked in a thread of its own until it does."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.seconds: dict[str, float] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._given_up = threading.Event()

    def watch(self, name: str, true: Callable[[], bool]) -> None:
        """Note when `true` first says so; what is away says no."""
        self._threads[name] = threading.Thread(target=self._ask, args=(name, true), daemon=True)
        self._threads[name].start()

    def _ask(self, name: str, true: Callable[[], bool]) -> None:
        while not self._given_up.is_set():
            try:
                if true():
                    self.seconds[name] = time.monotonic() - self.began
                    return
            except (psycopg.OperationalError, psutil.Error, OSError, StopIteration):
                pass  # it is away, or changes at this very moment
            self._given_up.wait(0.1)

    def wait(self, *names: str, at_most: float) -> set[str]:
        """Wait for these until so many seconds after the start; returns those that did not come."""
        for name in names:
            self._threads[name].join(max(0.0, self.began + at_most - time.monotonic()))
        return set(names) - set(self.seconds)

    def give_up(self) -> None:
        """Ask no more."""
        self._given_up.set()


def seed_from_environment() -> int:
    """OPSDESK_CHAOS_SEED, to have a run again; otherwise another one each time."""
    return int(os.environ.get("OPSDESK_CHAOS_SEED") or time.time())
