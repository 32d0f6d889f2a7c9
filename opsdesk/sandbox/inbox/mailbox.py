"""Where the mails are kept: SQLite, the raw bytes beside what was read from them."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from opsdesk.sandbox.inbox import mail
from opsdesk.sandbox.storage import Store

KEPT = 5_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, mail_from TEXT NOT NULL, rcpt_to TEXT NOT NULL,
    subject TEXT NOT NULL, sender TEXT NOT NULL, recipients TEXT NOT NULL, text TEXT NOT NULL,
    raw BLOB NOT NULL);
"""


class Mailbox(Store):
    """Every mail that arrived, newest first; the oldest of very many make room."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "inbox.sqlite3", SCHEMA)

    def keep(self, mail_from: str, rcpt_to: list[str], raw: bytes) -> None:
        """Store one mail; when this returns it is safe."""
        read = mail.read(raw)
        with self.transaction() as db:
            arrived = db.execute(
                "INSERT INTO messages (at, mail_from, rcpt_to, subject, sender, recipients, text, raw)"
                " VALUES (?,?,?,?,?,?,?,?)",
                (
                    time.time(),
                    mail_from,
                    json.dumps(rcpt_to),
                    _storable(read.subject),
                    _storable(read.sender),
                    _storable(read.recipients),
                    _storable(read.text),
                    raw,
                ),
            ).lastrowid
            db.execute("DELETE FROM messages WHERE id <= ?", ((arrived or 0) - KEPT,))

    def newest(self, limit: int, *, before: int | None = None) -> list[sqlite3.Row]:
        """The last mails, newest first."""
        ceiling = before if before is not None else 1 << 62
        return self.rows("SELECT * FROM messages WHERE id < ? ORDER BY id DESC LIMIT ?", ceiling, limit)

    def after(self, number: int, limit: int) -> list[sqlite3.Row]:
        """Mails that came after a number, oldest first."""
        return self.rows("SELECT * FROM messages WHERE id > ? ORDER BY id LIMIT ?", number, limit)

    def one(self, number: int) -> sqlite3.Row | None:
        """One mail, or nothing."""
        return self.row("SELECT * FROM messages WHERE id = ?", number)

    def empty(self) -> int:
        """Throw all mails away; returns how many there were."""
        with self.transaction() as db:
            return db.execute("DELETE FROM messages").rowcount


def document(row: sqlite3.Row) -> dict[str, Any]:
    """A mail as JSON."""
    return {
        "id": row["id"],
        "at": row["at"],
        "mail_from": row["mail_from"],
        "rcpt_to": json.loads(row["rcpt_to"]),
        "subject": row["subject"],
        "from": row["sender"],
        "to": row["recipients"],
        "text": row["text"],
        "links": mail.links(row["text"]),
    }


def _storable(text: str) -> str:
    """Text without the lone surrogates that a mail with undeclared bytes leaves in its headers."""
    return text.encode("utf-8", "replace").decode()
