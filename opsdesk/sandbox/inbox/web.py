"""The inbox in the browser and as JSON."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from html import escape
from urllib.parse import parse_qsl, urlsplit

from opsdesk.sandbox.html import (
    PAGE_HEADERS,
    Html,
    badge,
    facts,
    link,
    not_found,
    page,
    refresher,
    style,
    table,
)
from opsdesk.sandbox.inbox import mail
from opsdesk.sandbox.inbox.mailbox import Mailbox, document
from opsdesk.sandbox.server import Request, Response

HOME = "Demonstration inbox"
SHOWN = 50
MOST = 1_000


class Web:
    """Pages for people, /api/messages for programs."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    def answer(self, request: Request) -> Response:
        """The page or document for an address."""
        names = request.path.split("/")[1:]
        try:
            match [request.method, *names]:
                case ["GET" | "HEAD", ""]:
                    return self._index(dict(parse_qsl(request.query)))
                case ["GET" | "HEAD", "messages", number] if number.isdecimal():
                    return self._message(int(number))
                case ["GET", "messages", number, "raw"] if number.isdecimal():
                    return self._raw(int(number))
                case ["GET" | "HEAD", "sandbox.css"]:
                    return style()
                case ["GET", "healthz"]:
                    count = self.mailbox.number("SELECT count(*) FROM messages")
                    return Response.json({"status": "ok", "messages": count})
                case [_, "api", "messages", *rest]:
                    return self._api(request, rest)
        except ValueError:
            return Response.json({"error": {"message": "A number was expected in the query."}}, 400)
        return not_found(HOME)

    def _api(self, request: Request, rest: list[str]) -> Response:
        query = dict(parse_qsl(request.query))
        limit = min(MOST, int(query.get("limit", MOST)))
        if rest and (not rest[0].isdecimal() or len(rest) > 1):
            return Response.json({"error": {"message": "There is nothing here."}}, 404)
        if request.method == "DELETE" and not rest:
            origin = request.headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
                return Response.json({"error": {"message": "A page of another site may not do this."}}, 403)
            return Response.json({"deleted": self.mailbox.empty()})
        if request.method != "GET":
            return Response.json({"error": {"message": "Only GET and DELETE work here."}}, 405)
        if rest:
            row = self.mailbox.one(int(rest[0]))
            return Response.json(document(row) if row else {}, 200 if row else 404)
        after = query.get("after")
        rows = self.mailbox.newest(limit) if after is None else self.mailbox.after(int(after), limit)
        wanted = query.get("to", "").lower()
        found = [document(row) for row in rows if wanted in row["rcpt_to"].lower()]
        return Response.json({"messages": found})

    def _index(self, query: dict[str, str]) -> Response:
        before = int(query["before"]) if "before" in query else None
        rows = self.mailbox.newest(SHOWN + 1, before=before)
        lead = "Mail that the desk sent. Nothing leaves this machine. "
        older = Html("")
        if len(rows) > SHOWN:
            last = rows[SHOWN - 1]["id"]
            older = Html(f"<p>{link(f'/?before={last}', 'Older mails')}</p>")
        body = [
            Html(f'<p class="lead">{lead}{refresher("/", query)}</p>'),
            table("Mails", ["Subject", "To", "From", "When"], map(_line, rows[:SHOWN]), empty="No mail yet."),
            older,
        ]
        return page(HOME, HOME, body, refresh=bool(query.get("live")))

    def _message(self, number: int) -> Response:
        row = self.mailbox.one(number)
        if row is None:
            return not_found(HOME)
        body = [
            facts(
                [
                    ("From", row["sender"]),
                    ("To", row["recipients"] or ", ".join(document(row)["rcpt_to"])),
                    ("Came", _when(row["at"])),
                    ("Source", link(f"/messages/{number}/raw", "as it came")),
                ]
            ),
            Html(f'<article class="mail">{_with_links(row["text"])}</article>'),
        ]
        return page(row["subject"] or "(no subject)", HOME, body)

    def _raw(self, number: int) -> Response:
        row = self.mailbox.one(number)
        if row is None:
            return not_found(HOME)
        return Response(200, row["raw"], "text/plain; charset=utf-8", PAGE_HEADERS)


def _when(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _line(row: sqlite3.Row) -> tuple[object, ...]:
    subject = link(f"/messages/{row['id']}", row["subject"] or "(no subject)")
    return subject, row["recipients"] or badge("no To line", "warn"), row["sender"], _when(row["at"])


def _with_links(text: str) -> Html:
    """The text of a mail; web addresses can be followed, everything else is only text."""
    pieces, place = [], 0
    for found in mail.LINK.finditer(text):
        address = found.group().rstrip(mail.TRAILING)
        pieces.append(escape(text[place : found.start()]))
        pieces.append(f'<a href="{escape(address)}" rel="noopener noreferrer">{escape(address)}</a>')
        place = found.start() + len(address)
    pieces.append(escape(text[place:]))
    return Html("".join(pieces))
