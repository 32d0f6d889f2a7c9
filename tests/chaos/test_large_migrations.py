"""Tables of two million rows are altered while a report reads them and writers go on. Long test."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import Error, OperationalError, connection, migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from opsdesk.backup import programs
from opsdesk.lib import migrating
from opsdesk.lib.database import is_busy
from opsdesk.lib.migrating import AddIndexPatiently

ROWS = 2_000_000
# A noisy machine is slow, not wrong: it ends what would never end.
WITHIN = 120.0
# What a writer waits for at most: the lock time-out of migrations, and what a busy machine adds.
HELD_UP = migrating.LOCK_SECONDS + 3.0
pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True)]


class Writer(threading.Thread):
    """Somebody who writes into the table again and again, and reads what is written."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.done, self.longest, self.trouble = 0, 0.0, ""
        self._over = threading.Event()

    def run(self) -> None:
        try:
            with programs.session() as session:
                while not self._over.wait(0.02):
                    began = time.monotonic()
                    session.execute(
                        "UPDATE accounts_parcel SET weight = weight + 1 WHERE id = 1 + (random() * 1000)::int"
                    )
                    session.execute("INSERT INTO accounts_parcel (name, weight) VALUES ('new', 1)")
                    session.execute("SELECT count(*) FROM accounts_parcel WHERE id < 100").fetchone()
                    self.longest = max(self.longest, time.monotonic() - began)
                    self.done += 1
        except psycopg.Error as refusal:
            self.trouble = str(refusal)

    def end(self) -> None:
        self._over.set()
        self.join(WITHIN)
        assert self.trouble == ""

    def goes_on(self) -> None:
        """Wait until it has written more."""
        before = self.done
        until(lambda: self.done > before + 5 or not self.is_alive(), "the writer is held up")
        assert self.is_alive(), self.trouble


def until(true: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < end, complaint
        time.sleep(0.05)


@contextmanager
def reader() -> Iterator[None]:
    """A report that has read from the table and leaves its transaction open."""
    with programs.session() as session, session.transaction():
        # Like pg_dump: it keeps seeing what it saw first.
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT count(*) FROM accounts_parcel WHERE id < 10").fetchone()
        yield


@pytest.fixture
def large(transactional_db: None) -> Iterator[ProjectState]:
    """Two million rows, with the state in which migrations know their table."""
    state = ProjectState()
    create = migrations.CreateModel(
        "Parcel",
        [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=40)),
         ("weight", models.IntegerField())],
    )  # fmt: skip
    with programs.session() as session:
        try:
            apply(create, state)
            session.execute(
                "INSERT INTO accounts_parcel (name, weight)"
                " SELECT 'parcel ' || n, n %% 1000 FROM generate_series(1, %s::int) n",
                [ROWS],
            )
            session.execute("ANALYZE accounts_parcel")
            yield state
        finally:
            session.execute("DROP TABLE IF EXISTS accounts_parcel")


@pytest.fixture
def writer(large: ProjectState) -> Iterator[Writer]:
    thread = Writer()
    thread.start()
    thread.goes_on()
    yield thread
    thread.end()


def apply(operation: Operation, state: ProjectState) -> None:
    """One operation as `migrate` carries it out; the state moves on only where it succeeded."""
    after = state.clone()
    operation.state_forwards("accounts", after)
    with connection.schema_editor(atomic=not isinstance(operation, AddIndexPatiently)) as editor:
        operation.database_forwards("accounts", editor, state, after)
    operation.state_forwards("accounts", state)


def kinds() -> list[Operation]:
    """Everything by which a migration of this desk may alter a table that is in use."""
    heavy = models.CheckConstraint(condition=models.Q(weight__gte=0), name="parcel_has_weight")
    return [
        migrations.AddField("Parcel", "note", models.CharField(max_length=40, null=True)),
        migrations.AddField("Parcel", "tries", models.IntegerField(db_default=0)),
        AddConstraintNotValid("Parcel", heavy),
        ValidateConstraint("Parcel", "parcel_has_weight"),
    ]


def file_of_table() -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_filenode('accounts_parcel'::regclass)")
        return cursor.fetchone()[0]


def test_what_alters_a_table_gives_up_soon_behind_a_reader_and_rewrites_nothing(
    large: ProjectState, writer: Writer
) -> None:
    before = file_of_table()
    for operation in kinds():
        with reader():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{migrating.LOCK_SECONDS}s"])
            refused = False
            try:
                apply(operation, large)
            except OperationalError as refusal:
                assert is_busy(refusal), refusal
                refused = True
            # The report is still open; what wanted to alter the table is gone or done, and nobody waits.
            writer.goes_on()
        assert refused == (not isinstance(operation, ValidateConstraint)), operation
        if refused:
            apply(operation, large)
        writer.goes_on()
    assert file_of_table() == before
    assert writer.longest < HELD_UP, f"A writer waited {writer.longest:.1f} s"
    print(f"{writer.done} rounds of a writer, the longest took {writer.longest:.2f} s")


def test_an_index_is_made_beside_writers_and_made_anew_after_it_was_broken_off(
    large: ProjectState, writer: Writer
) -> None:
    operation = AddIndexPatiently("Parcel", models.Index(fields=["weight"], name="parcel_by_weight"))
    index = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('parcel_by_weight')"
    building = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%parcel_by_weight%'"
    with programs.session() as session:
        with reader():
            refused = list[Error]()
            maker = threading.Thread(target=_make, args=(operation, large.clone(), refused))
            maker.start()
            # It waits for the report, and nobody waits for it.
            waits = lambda: session.execute(  # noqa: E731
                "SELECT 1 FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for%' AND lockers_total > 0"
            ).fetchone()
            until(lambda: bool(waits()), "the index was not begun")
            writer.goes_on()
            (pid,) = session.execute(building).fetchone() or (None,)
            session.execute("SELECT pg_terminate_backend(%s)", [pid])
            maker.join(WITHIN)
        assert refused and session.execute(index).fetchone() == (False,)

        apply(operation, large)
        assert session.execute(index).fetchone() == (True,)
        writer.goes_on()
        plan = session.execute("EXPLAIN SELECT id FROM accounts_parcel WHERE weight = 7").fetchall()
    assert "parcel_by_weight" in str(plan)
    assert writer.longest < HELD_UP, f"A writer waited {writer.longest:.1f} s"
    print(f"{writer.done} rounds of a writer, the longest took {writer.longest:.2f} s")


def _make(operation: Operation, state: ProjectState, refused: list[Error]) -> None:
    try:
        apply(operation, state)
    except Error as refusal:
        refused.append(refusal)
    finally:
        connection.close()


def test_migrating_comes_again_while_a_table_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = list[str]()

    def altered(*_: object, **__: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            tries.append(cursor.fetchone()[0])
            cursor.execute("ALTER TABLE accounts_team ADD COLUMN never int")
            cursor.execute("ALTER TABLE accounts_team DROP COLUMN never")

    with programs.session() as session:
        session.execute("BEGIN")
        session.execute("SELECT count(*) FROM accounts_team")
        monkeypatch.setattr(migrating, "call_command", altered)
        migrating.migrate(pause=lambda _: session.execute("COMMIT"))
    assert tries == [f"{migrating.LOCK_SECONDS}s"] * 2
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone()[0] == "5s"
