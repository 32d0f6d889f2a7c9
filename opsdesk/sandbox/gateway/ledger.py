"""One turn at the books: a transaction, the events it causes and the effects it has."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opsdesk.sandbox.gateway.dialect import new_id
from opsdesk.sandbox.gateway.faults import Fault
from opsdesk.sandbox.gateway.schema import Books, Effect
from opsdesk.sandbox.gateway.webhooks import PostOffice

# The version of the dialect from which refund.* events are sent for refunds of every kind.
API_VERSION = "2024-10-28.acacia"


@dataclass(slots=True)
class Turn:
    """What an endpoint works with; nothing of it is seen by anyone before the turn ends well."""

    db: sqlite3.Connection
    now: float
    origin: str = "api"
    request_id: str | None = None
    key: str | None = None
    fault: Fault | None = None
    allow_over_refund: bool = False
    effects: list[Effect] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    plans: list[tuple[float, str, str]] = field(default_factory=list)

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        """One row or nothing."""
        row: sqlite3.Row | None = self.db.execute(sql, values).fetchone()
        return row

    def emit(self, kind: str, thing: dict[str, Any], previous: dict[str, Any] | None = None) -> None:
        """Record an event; its webhooks leave when the turn has ended."""
        event_id = new_id("evt")
        body = {
            "id": event_id,
            "object": "event",
            "api_version": API_VERSION,
            "created": int(self.now),
            "data": {"object": thing, **({"previous_attributes": previous} if previous else {})},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": self.request_id, "idempotency_key": self.key},
            "type": kind,
        }
        text = json.dumps(body, separators=(",", ":"))
        self.db.execute(
            "INSERT INTO events (id, type, created, payment, body) VALUES (?,?,?,?,?)",
            (event_id, kind, int(self.now), thing.get("payment_intent", thing["id"]), text),
        )
        self.events.append(event_id)

    def forget(self) -> None:
        """Drop what a refused endpoint had begun."""
        self.effects.clear()
        self.events.clear()
        self.plans.clear()


class Ledger:
    """The books, and the post office that tells others what happened in them."""

    def __init__(self, books: Books, post: PostOffice) -> None:
        self.books = books
        self.post = post
        self.allow_over_refund = False

    @contextmanager
    def turn(
        self,
        *,
        origin: str = "api",
        request_id: str | None = None,
        key: str | None = None,
        fault: Fault | None = None,
    ) -> Iterator[Turn]:
        """Work alone at the books; at the end commit, write the effects, send the news."""
        with self.books.lock:
            with self.books.transaction() as db:
                turn = Turn(db, time.time(), origin, request_id, key, fault, allow_over_refund=self.allow_over_refund)
                yield turn
                letters = self.post.address(db, turn.events, turn.now)
                plans = [_keep_plan(db, plan) for plan in turn.plans]
            self.books.append_effects(turn.effects)
        self.post.hand_over(letters, plans)


def _keep_plan(db: sqlite3.Connection, plan: tuple[float, str, str]) -> tuple[float, int]:
    seq = db.execute("INSERT INTO plans (due, refund, change) VALUES (?,?,?)", plan).lastrowid
    return plan[0], int(seq or 0)
