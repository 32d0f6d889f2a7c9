"""Calling an outside system over its connection: the address, the secret, the log row, the verdict."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode

from integrations.errors import AddressRefused, CallFailed
from integrations.http.addresses import check_url
from integrations.http.answers import READS, Answer
from integrations.http.transport import Limits, NoAnswer, Received, exchange
from integrations.models import Call, Connection
from integrations.secrets import Undecryptable, reveal
from integrations.strictjson import read_object
from workflows.errors import Unreadable
from workflows.states import FailureKind

Pairs = Sequence[tuple[str, str]]
# From the secret, the headers and the body of a request to the headers that prove who sends it.
Proof = Callable[[str, Mapping[str, str], bytes], Mapping[str, str]]

_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+/?")


def bearer(secret: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
    """The secret itself, as most APIs want it."""
    return {"Authorization": f"Bearer {secret}"}


class Door:
    """The way out over one connection. Every call leaves an unsaved row in `calls`; the database is never touched.

    The secret goes nowhere but to the connection's own host: callers give paths, never addresses, and no
    redirect is followed.
    """

    def __init__(
        self, connection: Connection, calls: list[Call], *, limits: Limits | None = None, proof: Proof = bearer
    ) -> None:
        self._connection = connection
        self._calls = calls
        self._limits = limits or Limits()
        self._proof = proof

    def send(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        query: Pairs = (),
        form: Pairs | None = None,
        document: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        says_something: bool = True,
    ) -> Answer:
        """Send one request, with form fields or a JSON document, and give the answer whatever its status.

        `says_something` is False where a good answer may be empty or no JSON object. Raises CallFailed when there is
        no answer that could be read: nothing reached the other side (`effect_possible` False), or what became of the
        request is unknown (True, unless it only read).
        """
        call = self._note(method, path, operation, query)
        started = time.monotonic()
        body, content_type = document, "application/json"
        if form is not None:
            body, content_type = urlencode(form).encode(), "application/x-www-form-urlencoded"
        typed = {"Content-Type": content_type} if body is not None else {}
        try:
            received = self._exchange(method, path, query, body, {**typed, **(headers or {})})
        except NoAnswer as lost:
            raise self._failed(call, lost.kind, lost.message, lost.sent and method not in READS) from lost
        except (AddressRefused, Undecryptable) as refused:
            raise self._failed(call, FailureKind.INFRASTRUCTURE, str(refused), False) from refused
        finally:
            call.milliseconds = round((time.monotonic() - started) * 1000)
        return self._answer(call, received, says_something=says_something)

    def _note(self, method: str, path: str, operation: str, query: Pairs) -> Call:
        names = "&".join(dict.fromkeys(name for name, _ in query))
        shown = f"{path}?{names}" if names else path
        call = Call(
            connection=self._connection,
            operation=operation,
            method=method,
            path=shown[:200],
            outcome="ok",
        )
        self._calls.append(call)
        return call

    def _exchange(self, method: str, path: str, query: Pairs, body: bytes | None, extra: Mapping[str, str]) -> Received:
        root = check_url(self._connection.base_url)
        if not _PATH.fullmatch(path):
            raise AddressRefused(f"{path!r} is not a path below the connection's address.")
        host = f"[{root.host}]" if ":" in root.host else root.host
        url = f"{root.scheme}://{host}:{root.port}{root.path}{path}"
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "opsdesk",
            **extra,
        }
        if secret := reveal(self._connection):
            headers |= self._proof(secret, headers, body or b"")
        full = f"{url}?{urlencode(query)}" if query else url
        return exchange(method, full, headers=headers, body=body, limits=self._limits)

    def _answer(self, call: Call, received: Received, *, says_something: bool) -> Answer:
        call.status = received.status
        try:
            data = read_object(received.body)
        except Unreadable as odd:
            answer = Answer(received.status, None, received.headers, call)
            if answer.ok and says_something:
                raise answer.odd(f"{self._connection.name} answered what nobody can read. {odd}") from odd
            return answer
        return Answer(received.status, data, received.headers, call)

    def _failed(self, call: Call, kind: FailureKind, message: str, effect_possible: bool) -> CallFailed:
        call.outcome = kind
        call.message = f"{self._connection.name}: {message}"[:300]
        return CallFailed(kind, call.message, effect_possible=effect_possible, call=call)
