"""python -m opsdesk.sandbox.books: start a bookkeeping system that takes signed webhooks.

It keeps what it took in memory, under the `webhook-id` it came with: POST /events, POST /events/ID/retract, and
GET /events/ID for what became of it. A retraction is refused from the given age on, and once it stands stays.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from opsdesk.sandbox import process
from opsdesk.sandbox.server import Request, Response, bind

BODY_LIMIT = 65_536


@dataclass(slots=True)
class Taken:
    """One thing it was told."""

    data: Any
    at: float
    retracted: bool = False


class Books:
    """Answers over HTTP; the same id twice is one thing told."""

    def __init__(self, retract_seconds: float) -> None:
        self._taken: dict[str, Taken] = {}
        self._lock = threading.Lock()
        self._retract_seconds = retract_seconds

    def answer(self, request: Request) -> Response:
        """Do what an address stands for."""
        names = request.path.strip("/").split("/")
        with self._lock:
            match [request.method, *names]:
                case ["POST", "events"]:
                    return self._take(request)
                case ["POST", "events", key, "retract"]:
                    return self._retract(request, key)
                case ["GET", "events", key]:
                    return self._show(key)
                case ["GET", "healthz"]:
                    return Response.json({"status": "ok", "taken": len(self._taken)})
        return _refusal(404, "There is no such address.")

    def _take(self, request: Request) -> Response:
        key = request.headers.get("webhook-id", "")
        if not key or not request.headers.get("webhook-signature"):
            return _refusal(401, "A webhook has an id and a signature.")
        try:
            data = json.loads(request.body)["data"]
        except (ValueError, KeyError, TypeError):
            return _refusal(400, "The body has no data.")
        self._taken.setdefault(key, Taken(data, time.time()))
        return self._show(key)

    def _retract(self, request: Request, key: str) -> Response:
        found = self._taken.get(key)
        if not request.headers.get("webhook-signature"):
            return _refusal(401, "A webhook has an id and a signature.")
        if found is None:
            return _refusal(404, "Nothing was told under this key.")
        if not found.retracted and time.time() - found.at > self._retract_seconds:
            return _refusal(409, "It is booked for good.")
        found.retracted = True
        return self._show(key)

    def _show(self, key: str) -> Response:
        found = self._taken.get(key)
        if found is None:
            return _refusal(404, "Nothing was told under this key.")
        status = "retracted" if found.retracted else "succeeded"
        return Response.json({"key": key, "id": f"entry_{key[:8]}", "status": status, "data": found.data})


def _refusal(status: int, message: str) -> Response:
    return Response.json({"error": {"message": message}}, status)


def main(words: list[str] | None = None) -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m opsdesk.sandbox.books", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8030, help="0 takes a free one and says which")
    parser.add_argument("--retract-seconds", type=float, default=3_600.0, help="for how long something is taken back")
    options = parser.parse_args(words)
    server = bind(options.host, options.port, Books(options.retract_seconds).answer, body_limit=BODY_LIMIT)
    process.run_until_told_to_stop(
        server,
        announce=f"The demonstration books listen on http://{options.host}:{server.port}",
        on_stop=lambda: None,
    )


if __name__ == "__main__":
    main()
