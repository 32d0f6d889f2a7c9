"""The front of the gateway: what happens to one call of /v1/, from the door to the answer.

Door (faults, key, address), idempotency, endpoint, books and effect log, answer; late or lost when told so.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from urllib.parse import unquote

from opsdesk.sandbox.gateway import payments, refunds
from opsdesk.sandbox.gateway.dialect import ApiError, Params, new_id
from opsdesk.sandbox.gateway.documents import Document
from opsdesk.sandbox.gateway.faults import Fault, Faults
from opsdesk.sandbox.gateway.keys import Keys, fingerprint
from opsdesk.sandbox.gateway.ledger import Ledger, Turn
from opsdesk.sandbox.gateway.lists import expand
from opsdesk.sandbox.server import Cut, Request, Response

Endpoint = Callable[..., Document]

ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("POST", "payment_intents"): payments.create_payment_intent,
    ("GET", "payment_intents"): payments.list_payment_intents,
    ("GET", "payment_intents/:id"): payments.retrieve_payment_intent,
    ("POST", "payment_intents/:id/confirm"): payments.confirm_payment_intent,
    ("POST", "payment_intents/:id/capture"): payments.capture_payment_intent,
    ("POST", "payment_intents/:id/cancel"): payments.cancel_payment_intent,
    ("GET", "charges"): payments.list_charges,
    ("GET", "charges/:id"): payments.retrieve_charge,
    ("POST", "refunds"): refunds.create_refund,
    ("GET", "refunds"): refunds.list_refunds,
    ("GET", "refunds/:id"): refunds.retrieve_refund,
    ("POST", "refunds/:id"): refunds.update_refund,
    ("POST", "refunds/:id/cancel"): refunds.cancel_refund,
    ("GET", "customers/:id"): payments.retrieve_customer,
    ("GET", "events"): payments.list_events,
    ("GET", "events/:id"): payments.retrieve_event,
}
# Answered by what stands in front of the gateway: nothing behind it, keys included, sees the call.
AT_THE_DOOR = frozenset({"429", "503", "lost_before", "effect_later"})
SERVER_ERROR = {"error": {"message": "An unknown error occurred (the sandbox was told to fail).", "type": "api_error"}}


@dataclass(slots=True)
class Call:
    """One call of the API and what was found out about it."""

    request: Request
    id: str
    fault: Fault | None
    key: str | None = None
    replayed: bool = False

    def suffers(self, *kinds: str) -> bool:
        """Whether one of these faults was drawn."""
        return self.fault is not None and self.fault.kind in kinds


class Api:
    """Answers /v1/ in the dialect."""

    def __init__(self, ledger: Ledger, keys: Keys, faults: Faults, api_key: str | None) -> None:
        self.ledger = ledger
        self.keys = keys
        self.faults = faults
        self.api_key = api_key

    def answer(self, request: Request) -> Response:
        """Answer one call, or fail to, as told."""
        call = Call(request, new_id("req"), None)
        try:
            call.fault = self.faults.pick(request)
        except ValueError as problem:
            return self._refuse(call, ApiError(400, str(problem), param="X-Sandbox-Fault"))
        if call.suffers(*AT_THE_DOOR):
            return self._at_the_door(call)
        return self._let_in(call)

    def _at_the_door(self, call: Call) -> Response:
        fault = call.fault or Fault("lost_before")
        if fault.kind == "429":
            wait = fault.seconds
            date = (fault.argument or "").startswith("date:")
            value = formatdate(math.ceil(time.time() + wait), usegmt=True) if date else f"{wait:g}"
            refusal = ApiError(
                429, "Request rate limit exceeded.", code="rate_limit", headers=(("Retry-After", value),)
            )
            return self._refuse(call, refusal)
        if fault.kind == "503":
            headers = (("Retry-After", f"{fault.seconds:g}"),) if fault.seconds else ()
            return self._refuse(call, ApiError(503, "Service unavailable.", kind="api_error", headers=headers))
        self._log(call, None)
        lost = Response(cut=Cut.NOTHING_SENT)
        if fault.kind == "effect_later":
            lost.afterwards = lambda: self._do_it_late(call, fault.seconds)
        return lost

    def _do_it_late(self, call: Call, seconds: float) -> None:
        """The caller saw its connection break long ago; now the call takes effect all the same."""
        time.sleep(seconds)
        self._let_in(replace(call, id=new_id("req"), fault=None))

    def _let_in(self, call: Call) -> Response:
        try:
            self._check_key(call.request.headers.get("authorization", ""))
            endpoint, ids = _find(call.request)
            if call.request.method == "POST":
                call.key = self.keys.of(call.request.headers)
            params = Params(_encoded_parameters(call.request))
            with self.keys.hold(call.key):
                response = self._work(call, endpoint, params, ids)
                if call.fault is not None and call.fault.kind == "slow":
                    time.sleep(call.fault.seconds)
        except ApiError as refusal:
            return self._refuse(call, refusal)
        if call.suffers("lost_after"):
            response.cut = Cut.NOTHING_SENT
        elif call.suffers("reset_mid_body"):
            response.cut = Cut.HALF_SENT
        elif call.fault is not None and call.fault.kind == "wrong_answer":
            response.body = _with_wrong_amount(response.body, call.fault.difference)
        return response

    def _work(self, call: Call, endpoint: Endpoint, params: Params, ids: list[str]) -> Response:
        """One turn at the books: replay or do, keep the answer under its key, log the request."""
        path, mark = call.request.path, fingerprint(call.request.body)
        sent_key = call.request.headers.get("idempotency-key")  # on record even where keys mean nothing
        with self.ledger.turn(request_id=call.id, key=sent_key, fault=call.fault) as turn:
            kept = self.keys.find(turn.db, call.key, path, mark) if call.key else None
            if kept is not None:
                call.replayed = True
                self._log(call, kept["status"])
                headers = (
                    *_headers(call),
                    ("Idempotent-Replayed", "true"),
                    ("Original-Request", kept["request"]),
                )
                return Response(kept["status"], kept["body"].encode(), headers=headers)
            status, document = _run(call, turn, endpoint, params, ids)
            response = Response.json(document, status, _headers(call))
            if call.key:
                self.keys.keep(
                    turn.db,
                    call.key,
                    path=path,
                    fingerprint=mark,
                    status=status,
                    body=response.body,
                    request_id=call.id,
                )
            self._log(call, status)
        return response

    def _check_key(self, header: str) -> None:
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                given = ""
        if not given or scheme.lower() not in {"basic", "bearer"}:
            raise ApiError(
                401,
                "You did not provide an API key. Provide it in the Authorization header, using Bearer auth "
                "(Authorization: Bearer YOUR_SECRET_KEY) or HTTP basic auth with the key as the user name.",
            )
        known = given.startswith("sk_test_") if self.api_key is None else _same(given, self.api_key)
        if not known:
            raise ApiError(401, f"Invalid API Key provided: {given[:8]}{'*' * 8}")

    def _refuse(self, call: Call, refusal: ApiError) -> Response:
        self._log(call, refusal.status)
        return Response.json(refusal.document, refusal.status, (*_headers(call), *refusal.headers))

    def _log(self, call: Call, status: int | None) -> None:
        """Write the request down; no status means that it was lost before anything happened."""
        request = call.request
        with self.ledger.books.lock:
            self.ledger.books.db.execute(
                "INSERT INTO requests (at, id, method, path, query, body, idempotency_key, fault, status,"
                " replayed) VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    time.time(),
                    call.id,
                    request.method,
                    request.path,
                    request.query,
                    request.body.decode("utf-8", "replace"),
                    request.headers.get("idempotency-key"),
                    None if call.fault is None else str(call.fault),
                    status,
                    call.replayed,
                ),
            )


def _run(call: Call, turn: Turn, endpoint: Endpoint, params: Params, ids: list[str]) -> tuple[int, Document]:
    """Do the work; a refusal by the endpoint undoes what it had begun and is an answer like others.

    Refusals made before the work began leave the turn as an error, so that no key keeps them.
    """
    if call.suffers("500_before"):
        return 500, SERVER_ERROR
    turn.db.execute("SAVEPOINT endpoint")
    try:
        document = expand(turn, endpoint(turn, params, *ids), params.expansions())
        status = 200
    except ApiError as refusal:
        turn.db.execute("ROLLBACK TO endpoint")
        turn.forget()
        if not refusal.executed:
            raise
        status, document = refusal.status, refusal.document
    finally:
        turn.db.execute("RELEASE endpoint")
    return (500, SERVER_ERROR) if call.suffers("500_after") else (status, document)


def _find(request: Request) -> tuple[Endpoint, list[str]]:
    """The endpoint for an address, and the identifiers in it."""
    names = request.path.split("/")[2:]
    ids = [unquote(name) for name in names[1:2]]
    shape = "/".join([*names[:1], *(":id" for _ in ids), *names[2:]])
    endpoint = ENDPOINTS.get((request.method, shape))
    if endpoint is None or ids == [""]:
        raise ApiError(
            404,
            f"Unrecognized request URL ({request.method}: {request.path}). "
            "Please see https://stripe.com/docs or the README of the sandbox.",
        )
    return endpoint, ids


def _encoded_parameters(request: Request) -> str:
    if request.method != "POST":
        return request.query
    kind = request.headers.get("content-type", "application/x-www-form-urlencoded").partition(";")[0].strip()
    if request.body and kind != "application/x-www-form-urlencoded":
        raise ApiError(400, f"Invalid request: this API reads application/x-www-form-urlencoded, not {kind}.")
    try:
        return request.body.decode()
    except UnicodeDecodeError:
        raise ApiError(400, "Invalid request: the body is not UTF-8.") from None


def _headers(call: Call) -> tuple[tuple[str, str], ...]:
    headers = (("Request-Id", call.id),)
    return headers if call.key is None else (*headers, ("Idempotency-Key", call.key))


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _with_wrong_amount(body: bytes, difference: int) -> bytes:
    """The fault `wrong_answer`: the books are right, the answer is not."""
    document = json.loads(body)
    if isinstance(document.get("amount"), int):
        document["amount"] += difference
    return json.dumps(document, separators=(",", ":")).encode()
