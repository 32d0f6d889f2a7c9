"""The database is put back while the gateway has moved on: nothing is sent until people have read what happened since.

Groups of cases, by what the backup knew of them: five whose refund the gateway had not taken yet, and five that
nobody had consented to yet. All ten are refunded after the backup, and the restored desk finds every one of them.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import requests

from opsdesk.embedded.postgres import OWNER, Postgres
from tests.chaos import ordinary, outcome
from tests.chaos.ordinary import FAST_TRACK, FULL_REVIEW, INSTANT
from tests.chaos.people import Person
from tests.chaos.whole_desk import WholeDesk

EACH = 5
BEFORE, LATER, REJECTED = 1, 1, 1
ALL = BEFORE + 2 * EACH
WITHIN = 180.0
_RECOVERING = "SELECT count(*) FROM workflows_recovery WHERE state = 'recovering'"
_READ = """
    SELECT count(*) FROM integrations_reconciliation
     WHERE state = 'done' AND recovery_id IN (SELECT id FROM workflows_recovery WHERE state = 'recovering')
"""
_FOUND = "SELECT kind, state, count(*) FROM integrations_break WHERE case_id IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
_STIRRED = """
    SELECT (SELECT count(*) FROM integrations_action WHERE state = 'sending'),
           (SELECT count(*) FROM workflows_run
             WHERE lease_until > (SELECT max(begun_at) FROM workflows_recovery) + interval '1 minute'),
           (SELECT count(*) FROM workflows_case WHERE state = 'done')
"""


class Backup:
    """A desk that was backed up and went on: ten more refunds than the backup knows."""

    def __init__(self, desk: WholeDesk, folder: Path, *, more: int = 0) -> None:
        self.desk, self._folder = desk, folder
        desk.run("-m", "tests.chaos.ordinary", str(ALL + LATER + REJECTED + more), log=folder / "ordinary.log")
        desk.let_windows_end(minutes=600)

    def ask(self, *numbers: int, articles: int = INSTANT) -> None:
        """Requests that the shop hands over, and the desk takes."""
        for number in numbers:
            request = ordinary.request_for(number, articles, at=datetime.now(UTC))
            assert self.desk.shop.deliver(request).status == 202

    def done(self) -> int:
        """How many cases are done."""
        return self.desk.number("SELECT count(*) FROM workflows_case WHERE state = 'done'")

    def furnish(self) -> None:
        """What the backup is going to know: one case done and one rejected, five intents, five open windows."""
        self.ask(*range(BEFORE))
        self.desk.wait_until(lambda: self.done() == BEFORE, "the first refund was not done", seconds=WITHIN)
        self._reject(ALL + LATER)
        self.desk.gateway.control("chaos", {"shares": {"503": 1}, "paths": "/v1/refunds", "method": "POST"})
        self.ask(*range(BEFORE, BEFORE + EACH))
        self.ask(*range(BEFORE + EACH, ALL), articles=FAST_TRACK)
        intents = "SELECT count(*) FROM integrations_action WHERE succeeded_at IS NULL AND attempts > 0"
        windows = "SELECT count(*) FROM approvals_review WHERE state = 'open' AND objection_ends_at > now()"
        both = lambda: (self.desk.number(intents), self.desk.number(windows)) == (EACH, EACH)  # noqa: E731
        self.desk.wait_until(both, "the cases did not come to where the backup is made", seconds=WITHIN)

    def _reject(self, number: int) -> None:
        """A case that a person decided about."""
        self.ask(number, articles=FULL_REVIEW)
        of_case = "SELECT case_id FROM approvals_review WHERE state = 'open' AND tier = 'full_review'"
        self.desk.wait_until(lambda: bool(self.desk.rows(of_case)), "nobody was asked", seconds=WITHIN)
        ada = Person(self.desk.url, "ada")
        ada.sign_in()
        assert ada.decide(self.desk.number(of_case), "reject") == 200
        rejected = "SELECT count(*) FROM workflows_case WHERE state = 'rejected'"
        self.desk.wait_until(lambda: self.desk.number(rejected) == 1, "the verdict did not count", seconds=WITHIN)

    def let_time_pass(self) -> None:
        """Every objection window is over, and every pause before another try."""
        self.desk.change("UPDATE integrations_action SET due_at = now() WHERE due_at > now() AND lease_until IS NULL")
        self.desk.change("UPDATE approvals_review SET objection_ends_at = now() WHERE objection_ends_at > now()")

    def go_on(self) -> None:
        """All ten are refunded, which the backup does not know."""
        self.desk.gateway.control("chaos", method="DELETE")
        self.let_time_pass()
        self.desk.wait_until(lambda: self.done() == ALL, "not every refund was done", seconds=WITHIN)
        self.desk.come_to_rest(seconds=WITHIN)
        assert self.refunded() == ALL

    def refunded(self) -> int:
        """How many refunds the gateway's own log has."""
        return sum((effect["kind"], effect["origin"]) == ("refund", "api") for effect in self.desk.gateway.effects())


def assert_nothing_is_sent_until_it_is_signed(backup: Backup, folder: Path) -> None:
    """From the restored database on: noticed, read, signed, and only then acted upon."""
    desk = backup.desk
    desk.wait_until(lambda: recovering(desk) == 1, "the restore was not noticed", seconds=WITHIN)
    # Nothing else holds anything back.
    backup.let_time_pass()
    backup.ask(ALL)
    desk.wait_until(lambda: desk.number(_READ) == 1, "the gateway was not read", seconds=WITHIN)
    lost = ("lost_intent", "open", EACH)
    assert desk.rows(_FOUND) == [lost, ("not_done_here", "recorded", EACH)]
    assert requests.get(f"{desk.url}/readyz", timeout=30).json()["mode"] == "recovery"
    # Beat and workers are there all the while: their mark rises.
    mark = desk.number("SELECT number FROM workflows_tide")
    higher = lambda: desk.number("SELECT number FROM workflows_tide") > mark + 2  # noqa: E731
    desk.wait_until(higher, "the workers do nothing at all", seconds=WITHIN)
    assert desk.rows(_STIRRED) == [(0, 0, BEFORE)]
    assert backup.refunded() == ALL

    admin = Person(desk.url, "tomasz")
    admin.sign_in()
    assert admin.sign_recovery("Read the reports: all ten went out before the restore.") == 200
    backup.let_time_pass()

    desk.wait_until(lambda: backup.done() == ALL + LATER, "not every case was done", seconds=WITHIN)
    desk.come_to_rest(seconds=WITHIN)
    assert recovering(desk) == 0
    assert backup.refunded() == ALL + LATER
    ends = outcome.assert_every_case_came_to_rest(desk, requests=ALL + LATER + REJECTED)
    assert ends == {"done": ALL + LATER, "rejected": REJECTED}
    assert outcome.assert_effects_fit(desk) == ALL + LATER
    outcome.assert_invariants_hold(desk, folder)


def recovering(desk: WholeDesk) -> int:
    """How many recoveries are under way; a database that is being put back has none yet."""
    try:
        return desk.number(_RECOVERING)
    except psycopg.Error:
        return -1


@contextmanager
def as_root_of(desk: WholeDesk) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """A connection beside the desk's own database."""
    with psycopg.connect(
        host=str(desk.places.sockets), user=OWNER, dbname="postgres", autocommit=True, connect_timeout=5
    ) as connection:
        yield connection


@pytest.mark.long
def test_a_dump_is_put_back_under_running_workers(tmp_path: Path) -> None:
    with WholeDesk(tmp_path) as desk:
        backup = Backup(desk, tmp_path)
        backup.furnish()
        dump = tmp_path / "opsdesk.dump"
        programs = Postgres(desk.places).binaries()
        reach = ["--host", str(desk.places.sockets), "--username", OWNER]
        with dump.open("wb") as file:
            subprocess.run(
                [str(programs / "pg_dump"), *reach, "--format", "custom", OWNER], stdout=file, check=True, timeout=120
            )
        backup.go_on()

        with as_root_of(desk) as connection:
            connection.execute("CREATE DATABASE restored")
        with dump.open("rb") as file:
            subprocess.run(
                [str(programs / "pg_restore"), *reach, "--exit-on-error", "--dbname", "restored"],
                stdin=file,
                check=True,
                timeout=240,
            )
        with as_root_of(desk) as connection:
            connection.execute("ALTER DATABASE opsdesk WITH ALLOW_CONNECTIONS false")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'opsdesk'")
            connection.execute("DROP DATABASE opsdesk WITH (FORCE)")
            connection.execute("ALTER DATABASE restored RENAME TO opsdesk")

        assert_nothing_is_sent_until_it_is_signed(backup, tmp_path)
