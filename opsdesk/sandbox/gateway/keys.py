"""Idempotency keys in three modes, because gateways differ and the desk must bear all of them.

`stripe-v1` keeps the first answer of a key for 24 hours, whatever it was, 500 included; `2xx-only`
keeps successes alone; `none` ignores keys.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from opsdesk.sandbox.gateway.dialect import ApiError
from opsdesk.sandbox.gateway.schema import KEY_LIFE

KEY_LENGTH = 255


class KeyMode(StrEnum):
    """What a key means to this gateway."""

    STRIPE_V1 = "stripe-v1"
    SUCCESSES_ONLY = "2xx-only"
    NONE = "none"


class Keys:
    """Remembers answers by key, and which keys are being worked on."""

    def __init__(self, mode: KeyMode) -> None:
        self.mode = mode
        self._lock = threading.Lock()
        self._in_progress: set[str] = set()

    def of(self, headers: dict[str, str]) -> str | None:
        """The key of a request, or nothing when it has none or keys mean nothing here."""
        key = headers.get("idempotency-key")
        if not key or self.mode is KeyMode.NONE:
            return None
        if len(key) > KEY_LENGTH:
            raise ApiError(400, f"Idempotency keys can be up to {KEY_LENGTH} characters long.")
        return key

    @contextmanager
    def hold(self, key: str | None) -> Iterator[None]:
        """Keep a key for one request until its answer is under way; a second one meanwhile is refused."""
        if key is None:
            yield
            return
        with self._lock:
            if key in self._in_progress:
                raise ApiError(
                    409,
                    "There is currently another in-progress request using this Idempotent Key (that probably "
                    "means you submitted twice, and the other request is still going through): "
                    f"{key}. Please try again later.",
                    kind="idempotency_error",
                    code="idempotency_key_in_use",
                )
            self._in_progress.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._in_progress.discard(key)

    def find(self, db: sqlite3.Connection, key: str, path: str, fingerprint: str) -> sqlite3.Row | None:
        """The kept answer; refuses a key that was first used for something else."""
        row: sqlite3.Row | None = db.execute("SELECT * FROM keys WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if row["created"] < time.time() - KEY_LIFE:
            db.execute("DELETE FROM keys WHERE key = ?", (key,))
            return None
        if row["path"] != path:
            reuse = f"for the same endpoint they were first used for ('{row['path']}')"
        elif row["fingerprint"] != fingerprint:
            reuse = "with the same parameters they were first used with"
        else:
            return row
        raise ApiError(
            400,
            f"Keys for idempotent requests can only be used {reuse}. Try using a key other than '{key}' "
            "if you meant to execute a different request.",
            kind="idempotency_error",
        )

    def keep(
        self,
        db: sqlite3.Connection,
        key: str,
        *,
        path: str,
        fingerprint: str,
        status: int,
        body: bytes,
        request_id: str,
    ) -> None:
        """Remember an answer, if this mode remembers answers of that status."""
        if self.mode is KeyMode.SUCCESSES_ONLY and status >= 300:
            return
        db.execute(
            "INSERT INTO keys (key, created, path, fingerprint, status, body, request) VALUES (?,?,?,?,?,?,?)",
            (key, time.time(), path, fingerprint, status, body.decode(), request_id),
        )


def fingerprint(body: bytes) -> str:
    """What stands for the parameters of a request."""
    return hashlib.sha256(body).hexdigest()


def age(db: sqlite3.Connection, seconds: float) -> int:
    """Make all kept keys older, so that nobody has to wait a day; returns how many there are."""
    return db.execute("UPDATE keys SET created = created - ?", (seconds,)).rowcount
