"""python -m opsdesk.sandbox.gateway: start the demonstration gateway."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opsdesk.sandbox import process
from opsdesk.sandbox.gateway import refunds
from opsdesk.sandbox.gateway.api import Api
from opsdesk.sandbox.gateway.controls import Controls
from opsdesk.sandbox.gateway.faults import Faults
from opsdesk.sandbox.gateway.keys import KeyMode, Keys
from opsdesk.sandbox.gateway.ledger import Ledger
from opsdesk.sandbox.gateway.pages import Pages
from opsdesk.sandbox.gateway.schema import Books
from opsdesk.sandbox.gateway.webhooks import PostOffice
from opsdesk.sandbox.html import style
from opsdesk.sandbox.server import Request, Response, bind
from opsdesk.sandbox.storage import claim

BODY_LIMIT = 64 * 1024 * 1024  # a seed of a hundred thousand payments


class Gateway:
    """The whole process: the dialect under /v1/, the switches under /_sandbox/, pages for people."""

    def __init__(self, books: Books, options: argparse.Namespace) -> None:
        self.post = PostOffice(books, options.webhook_url, options.webhook_secret or "")
        self.ledger = Ledger(books, self.post)
        faults, keys = Faults(), Keys(KeyMode(options.key_mode))
        self.api = Api(self.ledger, keys, faults, options.api_key)
        self.controls = Controls(self.ledger, keys, faults)
        self.pages = Pages(self.ledger, faults)

    def answer(self, request: Request) -> Response:
        """Send a request to the part it is meant for."""
        if request.path.startswith("/v1/"):
            return self.api.answer(request)
        if request.path.startswith("/_sandbox/"):
            if not _from_here(request):
                return Response.json({"error": {"message": "Another site's page may not turn switches."}}, 403)
            return self.controls.answer(request)
        if request.path == "/healthz":
            payments = self.ledger.books.number("SELECT count(*) FROM payments")
            return Response.json({"status": "ok", "payments": payments})
        if request.path == "/sandbox.css":
            return style()
        return self.pages.answer(request)

    def carry_out(self, plan: int) -> None:
        """Do what was planned for a refund, unless it changed meanwhile."""
        with self.ledger.turn(origin="bank") as turn:
            row = turn.one("SELECT * FROM plans WHERE seq = ?", plan)
            turn.db.execute("DELETE FROM plans WHERE seq = ?", (plan,))
            refund = row and turn.one("SELECT id, status FROM refunds WHERE id = ?", row["refund"])
            if row is None or refund is None:
                return
            if row["change"] == "settle" and refund["status"] in refunds.HELD:
                refunds.settle(turn, refund["id"])
            elif row["change"] == "fail" and refund["status"] in {*refunds.HELD, "succeeded"}:
                refunds.fail(turn, refund["id"], "unknown")


def _from_here(request: Request) -> bool:
    """Whether a browser, if it is one, shows a page of this very process."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m opsdesk.sandbox.gateway", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8010, help="0 takes a free one and says which")
    parser.add_argument("--storage", type=Path, required=True, help="folder of its two database files")
    parser.add_argument("--webhook-url", help="where events are sent; without it they only stand in the list")
    parser.add_argument("--webhook-secret", help="whsec_…, signs the events")
    parser.add_argument("--api-key", help="the only key let in; without it any that begins with sk_test_")
    parser.add_argument("--key-mode", choices=list(KeyMode), default=KeyMode.STRIPE_V1)
    parser.add_argument("--faults", help="JSON, or a file with JSON: faults, chaos, behaviour, webhooks")
    options = parser.parse_args(words)
    if options.webhook_url and not options.webhook_secret:
        parser.error("--webhook-url needs --webhook-secret, because events are signed")
    return options


def _switches(text: str | None) -> dict[str, Any]:
    """The switches of the command line."""
    if not text:
        return {}
    try:
        wish = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    except (OSError, ValueError) as problem:
        raise SystemExit(f"--faults is neither JSON nor a file with JSON: {problem}.") from None
    if not isinstance(wish, dict):
        raise SystemExit("--faults needs a JSON object.")
    return wish


def main(words: list[str] | None = None) -> None:
    """Run until told to stop."""
    options = _arguments(words)
    held = claim(options.storage, "gateway")
    books = Books(options.storage)
    gateway = Gateway(books, options)
    try:
        gateway.controls.configure(_switches(options.faults))
    except (ValueError, TypeError, AttributeError) as problem:
        raise SystemExit(f"--faults makes no sense: {problem}") from None
    server = bind(options.host, options.port, gateway.answer, body_limit=BODY_LIMIT)
    gateway.post.start(gateway.carry_out)
    process.run_until_told_to_stop(
        server,
        announce=f"The demonstration gateway listens on http://{options.host}:{server.port}",
        on_stop=held.close,
    )


if __name__ == "__main__":
    main()
