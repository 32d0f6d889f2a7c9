"""How both sandbox processes keep their rows: SQLite in WAL mode, one connection, one lock.

A commit in WAL mode has reached the operating system when it returns, so nothing that was answered
is lost when the process is killed. (Only a power cut could lose the last moments; this is a sandbox.)
"""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def connect(path: Path) -> sqlite3.Connection:
    """Open a database file that several threads share under a lock of their own."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA busy_timeout=5000")
    return db


class Store:
    """One database file, its schema, and the lock that makes each block a transaction of its own."""

    def __init__(self, path: Path, schema: str) -> None:
        self.lock = threading.RLock()
        self.db = connect(path)
        self.db.executescript(schema)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block alone; commit at its end, roll back when it raises."""
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                self.db.execute("ROLLBACK")
                raise

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Read all rows of a query."""
        with self.lock:
            return self.db.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """Read one row, or nothing."""
        rows = self.rows(sql, *values)
        return rows[0] if rows else None

    def number(self, sql: str, *values: object) -> int:
        """Read one number, such as a count."""
        with self.lock:
            return int(self.db.execute(sql, values).fetchone()[0])


def claim(folder: Path, what: str) -> IO[str]:
    """Make the folder and hold it for this process, or end with one sentence.

    The lock goes with the process, however it ends; keep the returned file open.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / "lock").open("w")
    except OSError as problem:
        raise SystemExit(f"Cannot use {folder} to keep the {what}: {problem.strerror or problem}.") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"Another {what} is already using {folder}.") from None
    return held
