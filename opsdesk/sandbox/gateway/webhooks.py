"""Telling others: signed webhooks from background threads, retried, late or doubled when told so.

The signature is Stripe's (https://docs.stripe.com/webhooks#verify-manually): HMAC-SHA256 over
"timestamp.body" with the whole secret as the key, sent as `t=…,v1=…`.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from opsdesk.sandbox.due import DueQueue
from opsdesk.sandbox.gateway.schema import Books

log = logging.getLogger(__name__)

THREADS = 2
ANSWER_SECONDS = 10.0
KEPT_OPEN_SECONDS = 1.0  # shorter than any web server keeps an idle connection
LONGEST_WAIT = 60.0
GIVE_UP_AFTER = 3 * 86_400.0  # three days, as Stripe documents


@dataclass(slots=True)
class Manners:
    """How the post behaves: shares between 0 and 1; a `delay` of up to so many seconds mixes the order."""

    delay: float = 0.0
    duplicates: float = 0.0
    drop: float = 0.0
    seed: int = 0
    paused: bool = False
    events: tuple[str, ...] = ()
    die: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - repeatable on purpose

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        names = ("delay", "duplicates", "drop", "seed", "paused")
        return {**{name: getattr(self, name) for name in names}, "events": list(self.events)}


def signature(body: bytes, secret: str, at: int) -> str:
    """The Stripe-Signature header for a body sent at a moment."""
    digest = hmac.new(secret.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class PostOffice:
    """Owns the deliveries: one row each, a heap of due times, a few threads."""

    def __init__(self, books: Books, url: str | None, secret: str) -> None:
        self.books = books
        self.manners = Manners()
        self.default_address = (url, secret)
        self.url, self.secret = url, secret
        self._letters: DueQueue[int] = DueQueue()
        self._plans: DueQueue[int] = DueQueue()

    def start(self, carry_out: Callable[[int], None]) -> None:
        """Take up what a former process left, then work in the background; `carry_out` does a plan."""
        for row in self.books.rows("SELECT seq, due FROM deliveries WHERE state = 'pending'"):
            self._letters.put(row["due"], row["seq"])
        for row in self.books.rows("SELECT seq, due FROM plans"):
            self._plans.put(row["due"], row["seq"])
        for number in range(THREADS):
            threading.Thread(target=self._deliver_for_ever, name=f"post-{number}", daemon=True).start()
        threading.Thread(target=self._plan_for_ever, args=(carry_out,), name="plans", daemon=True).start()

    def behave(self, wish: dict[str, Any]) -> None:
        """Change manners or address from now on; raises ValueError with a sentence."""
        known = {"delay", "duplicates", "drop", "seed", "paused", "events", "url", "secret"}
        if unknown := set(wish) - known:
            raise ValueError(f"Unknown webhook switch {sorted(unknown)[0]!r}; known are {sorted(known)}.")
        now = {**self.manners.describe(), **wish}
        if not (0 <= float(now["duplicates"]) <= 1 and 0 <= float(now["drop"]) <= 1 and float(now["delay"]) >= 0):
            raise ValueError("Shares lie between 0 and 1, and the delay is not negative.")
        url = wish.get("url", self.url)
        if url is not None and urlsplit(str(url)).scheme not in {"http", "https"}:
            raise ValueError("A webhook url begins with http:// or https://.")
        self.manners = Manners(
            float(now["delay"]),
            float(now["duplicates"]),
            float(now["drop"]),
            int(now["seed"]),
            bool(now["paused"]),
            tuple(map(str, now["events"])),
            random.Random(int(now["seed"])),  # noqa: S311 - repeatable on purpose
        )
        self.url = url
        self.secret = str(wish.get("secret", self.secret))
        self._letters.pause(self.manners.paused)

    def behave_well(self) -> None:
        """Back to the manners and the address of the start."""
        self.manners = Manners()
        self.url, self.secret = self.default_address
        self._letters.pause(False)

    def address(self, db: sqlite3.Connection, events: list[str], now: float) -> list[tuple[float, int]]:
        """Write the deliveries of new events, within their transaction; returns when each is due."""
        if self.url is None or not events:
            return []
        manners = self.manners
        letters = []
        for event in events:
            if manners.events and not self._subscribed(db, event):
                continue
            copies = 2 if manners.duplicates and manners.die.random() < manners.duplicates else 1
            state = "dropped" if manners.drop and manners.die.random() < manners.drop else "pending"
            for _ in range(copies):
                due = now + (manners.die.uniform(0, manners.delay) if manners.delay else 0.0)
                seq = db.execute(
                    "INSERT INTO deliveries (event, due, first_due, state) VALUES (?,?,?,?)",
                    (event, due, due, state),
                ).lastrowid
                if state == "pending" and seq is not None:
                    letters.append((due, seq))
        return letters

    def _subscribed(self, db: sqlite3.Connection, event: str) -> bool:
        row = db.execute("SELECT type FROM events WHERE id = ?", (event,)).fetchone()
        return row["type"] in self.manners.events

    def hand_over(self, letters: list[tuple[float, int]], plans: list[tuple[float, int]]) -> None:
        """Queue what was committed."""
        for due, seq in letters:
            self._letters.put(due, seq)
        for due, seq in plans:
            self._plans.put(due, seq)

    def send_again(self, event: str) -> None:
        """Deliver an event once more, as a person would in the dashboard."""
        with self.books.transaction() as db:
            letters = self.address(db, [event], time.time())
        self.hand_over(letters, [])

    def forget_everything(self) -> None:
        """Drop all that waits."""
        self._letters.clear()
        self._plans.clear()

    def _plan_for_ever(self, carry_out: Callable[[int], None]) -> None:
        while True:
            seq = self._plans.take()
            try:
                carry_out(seq)
            except Exception:
                # A plan that cannot be done must not stop the others.
                log.exception("Plan %s could not be carried out", seq)

    def _deliver_for_ever(self) -> None:
        line = _Line()
        while True:
            seq = self._letters.take()
            try:
                self._deliver(line, seq)
            except Exception:
                # The row stays pending and is taken up at the next start.
                log.exception("Delivery %s broke", seq)

    def _deliver(self, line: _Line, seq: int) -> None:
        row = self.books.row(
            "SELECT d.attempts, d.first_due, e.body FROM deliveries d JOIN events e ON e.id = d.event"
            " WHERE d.seq = ? AND d.state = 'pending'",
            seq,
        )
        if row is None or self.url is None:
            return
        answer = line.post(self.url, row["body"].encode(), self.secret)
        now = time.time()
        attempts = row["attempts"] + 1
        due = now + min(LONGEST_WAIT, 2.0 ** (attempts - 1))
        if answer.isdigit() and 200 <= int(answer) < 300:
            state = "delivered"
        else:
            state = "given_up" if due > row["first_due"] + GIVE_UP_AFTER else "pending"
        with self.books.transaction() as db:
            db.execute(
                "UPDATE deliveries SET attempts = ?, due = ?, state = ?, answer = ? WHERE seq = ?",
                (attempts, due, state, answer, seq),
            )
        if state == "pending":
            self._letters.put(due, seq)


class _Line:
    """A kept connection of one thread to the webhook address."""

    def __init__(self) -> None:
        self._address: tuple[str, str] | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def post(self, url: str, body: bytes, secret: str) -> str:
        """Deliver one body; returns the status, or in a word why there is none."""
        parts = urlsplit(url)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(body, secret, int(time.time())),
            "User-Agent": "opsdesk-sandbox/1.0",
        }
        try:
            connection = self._connect(parts.scheme, parts.netloc)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, headers)
            reply = connection.getresponse()
            reply.read(65_536)
            if reply.will_close or not reply.isclosed():
                self._hang_up()
        except (OSError, http.client.HTTPException) as problem:
            self._hang_up()
            return type(problem).__name__
        self._used_at = time.monotonic()
        return str(reply.status)

    def _connect(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        stale = time.monotonic() - self._used_at > KEPT_OPEN_SECONDS
        if self._connection is None or stale or self._address != (scheme, netloc):
            self._hang_up()
            kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            self._connection = kind(netloc, timeout=ANSWER_SECONDS)
            self._address = (scheme, netloc)
        return self._connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
