"""The two database files of the gateway: what it knows, and what it really did."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from opsdesk.sandbox.storage import Store

KEPT_REQUESTS = 100_000
KEY_LIFE = 86_400.0

STATE = """
CREATE TABLE IF NOT EXISTS customers (
    id TEXT PRIMARY KEY, name TEXT, email TEXT, created INTEGER NOT NULL, metadata TEXT NOT NULL);
-- One row is a payment intent and, once it was confirmed, its only charge.
CREATE TABLE IF NOT EXISTS payments (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, charge TEXT UNIQUE, status TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0), captured INTEGER NOT NULL DEFAULT 0,
    refunded INTEGER NOT NULL DEFAULT 0 CHECK (refunded >= 0), currency TEXT NOT NULL,
    created INTEGER NOT NULL, capture_method TEXT NOT NULL, payment_method TEXT, customer TEXT,
    description TEXT, metadata TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS payments_by_time ON payments (created, seq);
CREATE INDEX IF NOT EXISTS payments_by_customer ON payments (customer, created, seq);
CREATE TABLE IF NOT EXISTS refunds (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, payment TEXT NOT NULL, charge TEXT NOT NULL,
    status TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL,
    created INTEGER NOT NULL, reason TEXT, failure_reason TEXT, metadata TEXT NOT NULL,
    idempotency_key TEXT, origin TEXT NOT NULL, request TEXT);
CREATE INDEX IF NOT EXISTS refunds_by_payment ON refunds (payment, seq);
CREATE INDEX IF NOT EXISTS refunds_by_charge ON refunds (charge, seq);
CREATE INDEX IF NOT EXISTS refunds_by_time ON refunds (created, seq);
-- A change that will come by itself: the refund settles or fails at its time.
-- (AUTOINCREMENT where threads remember numbers: none may come to mean another row after a reset.)
CREATE TABLE IF NOT EXISTS plans (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, due REAL NOT NULL, refund TEXT NOT NULL, change TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, created INTEGER NOT NULL,
    payment TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_payment ON events (payment);
CREATE INDEX IF NOT EXISTS events_by_time ON events (created, seq);
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, due REAL NOT NULL, first_due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL, answer TEXT);
CREATE INDEX IF NOT EXISTS deliveries_open ON deliveries (due) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY, created REAL NOT NULL, path TEXT NOT NULL, fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL, body TEXT NOT NULL, request TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, id TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    query TEXT NOT NULL, body TEXT NOT NULL, idempotency_key TEXT, fault TEXT, status INTEGER,
    replayed INTEGER NOT NULL DEFAULT 0);
"""

EFFECTS = """
CREATE TABLE IF NOT EXISTS effects (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('refund', 'refund_failed')),
    refund TEXT NOT NULL, charge TEXT NOT NULL, payment TEXT NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, idempotency_key TEXT, metadata TEXT NOT NULL, origin TEXT NOT NULL,
    UNIQUE (refund, kind));
"""

TABLES = ("customers", "payments", "refunds", "plans", "events", "deliveries", "keys", "requests")


@dataclass(frozen=True, slots=True)
class Effect:
    """Money that moved, or came back because a refund failed or was canceled; `origin` is api, dashboard or seed."""

    kind: str
    refund: sqlite3.Row

    def values(self, at: float) -> tuple[object, ...]:
        """The row of the effect log."""
        row = self.refund
        copied = ("id", "charge", "payment", "amount", "currency", "idempotency_key", "metadata", "origin")
        return (at, self.kind, *(row[name] for name in copied))


class Books(Store):
    """What the gateway knows, with the effect log beside it in a file of its own.

    A change is committed here first and copied to the effect log before anything is answered. A process
    killed between the two catches up when it starts again.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "gateway.sqlite3", STATE)
        self.effects = Store(folder / "effects.sqlite3", EFFECTS)
        self.append_effects(self._missing_effects())
        with self.transaction() as db:
            newest = db.execute("SELECT coalesce(max(seq), 0) FROM requests").fetchone()[0]
            db.execute("DELETE FROM requests WHERE seq <= ?", (newest - KEPT_REQUESTS,))
            db.execute("DELETE FROM keys WHERE created < ?", (time.time() - KEY_LIFE,))

    def append_effects(self, effects: Iterable[Effect]) -> None:
        """Write effects down; one that is written already stays as it is."""
        at = time.time()
        rows = [effect.values(at) for effect in effects]
        if not rows:
            return
        with self.effects.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO effects (at, kind, refund, charge, payment, amount, currency,"
                " idempotency_key, metadata, origin) VALUES (?,?,?,?,?,?,?,?,?,?)",
                rows,
            )

    def _missing_effects(self) -> list[Effect]:
        known = {(row["refund"], row["kind"]) for row in self.effects.rows("SELECT refund, kind FROM effects")}
        missing = []
        for refund in self.rows("SELECT * FROM refunds ORDER BY seq"):
            kinds = ("refund", "refund_failed") if refund["status"] in ("failed", "canceled") else ("refund",)
            missing += [Effect(kind, refund) for kind in kinds if (refund["id"], kind) not in known]
        return missing

    def forget_everything(self) -> None:
        """Empty both files, as if the gateway had never run."""
        with self.transaction() as db:
            for name in TABLES:
                db.execute(f"DELETE FROM {name}")  # noqa: S608 - the names stand a few lines above
            with self.effects.transaction() as effects:
                effects.execute("DELETE FROM effects")


def plain(row: sqlite3.Row) -> dict[str, object]:
    """A row as JSON can carry it."""
    values = dict(row)
    if "metadata" in values:
        values["metadata"] = json.loads(values["metadata"])
    return values
