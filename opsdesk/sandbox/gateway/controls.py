"""/_sandbox/: what a test or a person does to the outside world behind the desk's back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from opsdesk.sandbox.gateway import keys as idempotency
from opsdesk.sandbox.gateway import refunds, seed
from opsdesk.sandbox.gateway.dialect import ApiError, Params
from opsdesk.sandbox.gateway.faults import Faults
from opsdesk.sandbox.gateway.keys import KeyMode, Keys
from opsdesk.sandbox.gateway.ledger import Ledger
from opsdesk.sandbox.gateway.schema import plain
from opsdesk.sandbox.server import Request, Response

Answer = dict[str, Any] | list[Any]
LOG_PAGE = 10_000


class Controls:
    """The switches of the gateway, as JSON over HTTP; forms of the pages may use them too."""

    def __init__(self, ledger: Ledger, keys: Keys, faults: Faults) -> None:
        self.ledger = ledger
        self.keys = keys
        self.faults = faults
        self._first_mode = keys.mode
        self._switches: dict[str, Callable[[str, Request], Answer]] = {
            "faults": self._faults,
            "chaos": self._chaos,
            "behaviour": self._behaviour,
            "webhooks": self._webhooks,
        }

    def answer(self, request: Request) -> Response:
        """Do as told; a wish that makes no sense is answered 400 with a sentence."""
        names = [unquote(name) for name in request.path.split("/")[2:]]
        try:
            answer = self._do(request, names)
        except ApiError as refusal:
            return Response.json(refusal.document, refusal.status)
        except (ValueError, TypeError, AttributeError) as problem:
            return Response.json({"error": {"message": f"This makes no sense here: {problem}"}}, 400)
        if request.method == "POST" and _is_form(request) and request.wants_page():
            return Response.see_other(_page_after(answer))
        return Response.json(answer)

    def configure(self, wish: dict[str, Any]) -> None:
        """Apply the switches given at the start: faults (a list), chaos, behaviour, webhooks."""
        for name, value in wish.items():
            if name == "faults":
                for queued in value:
                    self.faults.queue(queued)
            elif name == "chaos":
                self.faults.set_chaos(value)
            elif name == "behaviour":
                self._behave(value)
            elif name == "webhooks":
                self.ledger.post.behave(value)
            else:
                raise ValueError(f"Unknown switch {name!r}; known are faults, chaos, behaviour, webhooks.")

    def _do(self, request: Request, names: list[str]) -> Answer:
        match [request.method, *names]:
            case [method, name] if name in self._switches:
                return self._switches[name](method, request)
            case ["GET", "effects"]:
                return self._log(request, "effects")
            case ["GET", "requests"]:
                return self._log(request, "requests")
            case ["POST", "seed"]:
                with self.ledger.turn(origin="seed") as turn:
                    return dict(seed.plant(turn, _wish(request)))
            case ["POST", "dashboard-refund"]:
                return self._refund_in_the_dashboard(_wish(request))
            case ["POST", "refunds", refund, "fail"]:
                with self.ledger.turn(origin="dashboard") as turn:
                    return refunds.fail(turn, refund, str(_wish(request).get("reason", "unknown")))
            case ["POST", "refunds", refund, "settle"]:
                with self.ledger.turn(origin="dashboard") as turn:
                    return refunds.settle(turn, refund)
            case ["POST", "events", event, "send-again"]:
                self.ledger.post.send_again(event)
                return {"event": event}
            case ["POST", "keys", "age"]:
                with self.ledger.books.transaction() as db:
                    return {"aged": idempotency.age(db, float(_wish(request).get("seconds", 0)))}
            case ["POST", "reset"]:
                return self._reset()
        raise ApiError(404, f"There is no switch {request.method} {request.path}; the README lists them.")

    def _faults(self, method: str, request: Request) -> Answer:
        if method == "POST":
            self.faults.queue(_wish(request))
        elif method == "DELETE":
            self.faults.clear_queue()
        return self.faults.describe()

    def _chaos(self, method: str, request: Request) -> Answer:
        if method in {"POST", "DELETE"}:
            self.faults.set_chaos(_wish(request) if method == "POST" else None)
        return self.faults.describe()

    def _behaviour(self, method: str, request: Request) -> Answer:
        if method == "POST":
            self._behave(_wish(request))
        elif method == "DELETE":
            self._behave({"allow_over_refund": False, "key_mode": self._first_mode})
        return {"allow_over_refund": self.ledger.allow_over_refund, "key_mode": self.keys.mode}

    def _behave(self, wish: dict[str, Any]) -> None:
        if unknown := set(wish) - {"allow_over_refund", "key_mode"}:
            raise ValueError(f"unknown behaviour {sorted(unknown)[0]!r}.")
        self.keys.mode = KeyMode(wish.get("key_mode", self.keys.mode))
        self.ledger.allow_over_refund = bool(wish.get("allow_over_refund", self.ledger.allow_over_refund))

    def _webhooks(self, method: str, request: Request) -> Answer:
        post = self.ledger.post
        if method == "POST":
            post.behave(_wish(request))
        elif method == "DELETE":
            post.behave_well()
        rows = self.ledger.books.rows("SELECT state, count(*) AS many FROM deliveries GROUP BY state")
        counts = {row["state"]: row["many"] for row in rows}
        return {"url": post.url, **post.manners.describe(), "deliveries": counts}

    def _log(self, request: Request, name: str) -> Answer:
        """The rows after a number, oldest first."""
        query = dict(parse_qsl(request.query))
        store = self.ledger.books.effects if name == "effects" else self.ledger.books
        rows = store.rows(
            f"SELECT * FROM {name} WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 - one of two own names
            int(query.get("after", 0)),
            min(LOG_PAGE, int(query.get("limit", LOG_PAGE))),
        )
        return {"data": [plain(row) for row in rows]}

    def _refund_in_the_dashboard(self, wish: dict[str, Any]) -> Answer:
        """Refund as a person at the gateway's own dashboard would, without the desk."""
        metadata = wish.pop("metadata", {})
        pairs = {name: str(value) for name, value in wish.items() if value not in {None, ""}}
        pairs |= {f"metadata[{name}]": str(value) for name, value in metadata.items()}
        with self.ledger.turn(origin="dashboard") as turn:
            return refunds.create_refund(turn, Params(urlencode(pairs)))

    def _reset(self) -> Answer:
        """As if the gateway had never run: no rows, no faults, good manners."""
        self.ledger.post.forget_everything()
        self.ledger.books.forget_everything()
        self.faults.clear_queue()
        self.faults.set_chaos(None)
        self._behave({"allow_over_refund": False, "key_mode": self._first_mode})
        self.ledger.post.behave_well()
        return {"reset": True}


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def _wish(request: Request) -> Any:
    """The body as JSON, or as the fields of a form."""
    if _is_form(request):
        return dict(parse_qsl(request.body.decode()))
    return json.loads(request.body) if request.body else {}


def _page_after(answer: Answer) -> str:
    payment = answer.get("payment_intent") if isinstance(answer, dict) else None
    return f"/payments/{payment}" if payment else "/"
