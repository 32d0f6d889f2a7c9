"""The gateway as a person sees it: the last payments, refunds and effects, and one payment in full."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote

from opsdesk.sandbox.gateway.dialect import say_amount
from opsdesk.sandbox.gateway.faults import Faults
from opsdesk.sandbox.gateway.ledger import Ledger
from opsdesk.sandbox.html import Html, badge, button, code, facts, link, not_found, page, refresher, table
from opsdesk.sandbox.server import Request, Response

HOME = "Demonstration gateway"
SHOWN = 15
EFFECT_HEADINGS = ["Number#", "When", "What", "Refund", "Payment", "Amount#", "Idempotency key"]
TONES = {
    "succeeded": "ok", "pending": "warn", "requires_action": "warn", "failed": "danger",
    "delivered": "ok", "given_up": "danger",
}  # fmt: skip


class Pages:
    """Readable pages; every number on them is also in the JSON of /_sandbox/."""

    def __init__(self, ledger: Ledger, faults: Faults) -> None:
        self.ledger = ledger
        self.faults = faults

    def answer(self, request: Request) -> Response:
        """The page for an address."""
        if request.path == "/":
            return self._index(dict(parse_qsl(request.query)))
        if request.path.startswith("/payments/"):
            return self._payment(unquote(request.path.removeprefix("/payments/")))
        return not_found(HOME)

    def _index(self, query: dict[str, str]) -> Response:
        books = self.ledger.books
        lead = (
            "A pretend payment gateway, outside of the desk: it keeps its own books. What really happened "
            "stands in the effect log. "
        )
        body = [
            Html(f'<p class="lead">{lead}{refresher("/", query)}</p>'),
            self._what_goes_wrong(),
            _refunds("Last refunds", books.rows("SELECT * FROM refunds ORDER BY seq DESC LIMIT ?", SHOWN)),
            table(
                "Effect log",
                EFFECT_HEADINGS,
                map(_effect, books.effects.rows("SELECT * FROM effects ORDER BY seq DESC LIMIT ?", SHOWN)),
                empty="No money has moved yet.",
            ),
            table(
                "Last payments",
                ["Payment", "When", "Customer", "State", "Captured#", "Refunded#"],
                map(
                    _payment,
                    books.rows("SELECT * FROM payments ORDER BY created DESC, seq DESC LIMIT ?", SHOWN),
                ),
                empty="Nobody has paid yet.",
            ),
            table(
                "Last calls",
                ["When", "Call", "Answer", "Fault"],
                map(_call, books.rows("SELECT * FROM requests ORDER BY seq DESC LIMIT ?", SHOWN)),
                empty="Nobody has called yet.",
            ),
        ]
        return page(HOME, HOME, body, refresh=bool(query.get("live")))

    def _what_goes_wrong(self) -> Html:
        wrong = self.faults.describe()
        chaos = wrong["chaos"]
        on = [f"{queued['fault']} x {queued['times']}" for queued in wrong["queue"]]
        on += [f"{fault} {share:.0%}" for fault, share in (chaos["shares"] if chaos else {}).items()]
        on += ["over-refunds allowed"] if self.ledger.allow_over_refund else []
        words = Html(" ".join(badge(word, "warn") for word in on)) if on else badge("none", "calm")
        waiting = self.ledger.books.number("SELECT count(*) FROM deliveries WHERE state = 'pending'")
        return facts(
            [("Faults switched on", words), ("Webhooks go to", self.ledger.post.url), ("Webhooks waiting", waiting)]
        )

    def _payment(self, payment: str) -> Response:
        books = self.ledger.books
        row = books.row("SELECT * FROM payments WHERE id = ?", payment)
        if row is None:
            return not_found(HOME)
        left = row["captured"] - row["refunded"]
        events = books.rows(
            "SELECT e.type, e.created, d.state, d.attempts, d.answer FROM events e"
            " LEFT JOIN deliveries d ON d.event = e.id"
            " WHERE e.payment = ? ORDER BY e.seq DESC LIMIT 50",
            payment,
        )
        body = [
            facts(
                [
                    ("Charge", code(row["charge"])),
                    ("State", _state(row["status"])),
                    ("Captured", say_amount(row["captured"], row["currency"])),
                    ("Refunded", say_amount(row["refunded"], row["currency"])),
                    ("Left to refund", say_amount(left, row["currency"])),
                    ("Paid at", _when(row["created"])),
                    ("Customer", row["customer"]),
                    *((name, value) for name, value in json.loads(row["metadata"]).items()),
                ]
            ),
            _dashboard(row, left),
            _refunds("Refunds", books.rows("SELECT * FROM refunds WHERE payment = ? ORDER BY seq DESC", payment)),
            table(
                "Effect log",
                EFFECT_HEADINGS,
                map(
                    _effect,
                    books.effects.rows("SELECT * FROM effects WHERE payment = ? ORDER BY seq", payment),
                ),
                empty="No money has gone back.",
            ),
            table(
                "Events",
                ["When", "Event", "Webhook", "Attempts#", "Answer"],
                map(_event, events),
                empty="Nothing was announced.",
            ),
        ]
        return page(payment, HOME, body)


def _when(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _state(state: str | None) -> Html:
    return badge((state or "not sent").replace("_", " "), TONES.get(state or "", "calm"))


def _payment_link(payment: str) -> Html:
    return link(f"/payments/{quote(payment)}", payment)


def _payment(row: sqlite3.Row) -> tuple[object, ...]:
    return (
        _payment_link(row["id"]),
        _when(row["created"]),
        row["customer"],
        _state(row["status"]),
        say_amount(row["captured"], row["currency"]),
        say_amount(row["refunded"], row["currency"]),
    )


def _refunds(caption: str, rows: list[sqlite3.Row]) -> Html:
    headings = ["Refund", "When", "Payment", "State", "Amount#", "By", "What may follow"]
    return table(caption, headings, map(_refund, rows), empty="Nothing was refunded.")


def _refund(row: sqlite3.Row) -> tuple[object, ...]:
    can_fail = row["status"] in {"pending", "requires_action", "succeeded"}
    return (
        code(row["id"]),
        _when(row["created"]),
        _payment_link(row["payment"]),
        _state(row["status"]),
        say_amount(row["amount"], row["currency"]),
        row["origin"],
        button(f"/_sandbox/refunds/{quote(row['id'])}/fail", "Let it fail") if can_fail else row["failure_reason"],
    )


def _effect(row: sqlite3.Row) -> tuple[object, ...]:
    back = row["kind"] == "refund_failed"
    return (
        row["seq"],
        _when(row["at"]),
        badge("refund failed", "danger") if back else badge("refund", "ok"),
        code(row["refund"]),
        _payment_link(row["payment"]),
        say_amount(-row["amount"] if back else row["amount"], row["currency"]),
        code(row["idempotency_key"]),
    )


def _call(row: sqlite3.Row) -> tuple[object, ...]:
    answer = "no answer" if row["status"] is None else f"{row['status']}{' replayed' if row['replayed'] else ''}"
    return (
        _when(row["at"]),
        code(f"{row['method']} {row['path']}"),
        answer,
        badge(row["fault"], "warn") if row["fault"] else None,
    )


def _event(row: sqlite3.Row) -> tuple[object, ...]:
    return _when(row["created"]), row["type"], _state(row["state"]), row["attempts"], row["answer"]


def _dashboard(row: sqlite3.Row, left: int) -> Html:
    """What a person at the gateway could do without the desk."""
    if left <= 0:
        return Html("")
    half = left // 2 or left
    buttons = [
        button(
            "/_sandbox/dashboard-refund",
            f"Refund {say_amount(amount, row['currency'])} here, without the desk",
            payment_intent=row["id"],
            amount=str(amount),
        )
        for amount in sorted({half, left})
    ]
    return Html(f"<section><h2>At the gateway's own dashboard</h2>{''.join(buttons)}</section>")
