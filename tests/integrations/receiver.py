"""A system that takes signed webhooks and remembers what it took, on a port of its own; it can be told to misbehave."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What was posted, what it took, and what goes wrong next: a status, or `lost` for an answer that never comes."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.reads: list[str] = []
        self.taken: dict[str, dict[str, Any]] = {}
        self.says: dict[str, Any] = {}
        self.wrong: list[int | str] = []
        self.url = ""

    def take(self, headers: dict[str, str], body: bytes, path: str = "/events") -> int | None:
        """The status of the answer to one post; None hangs up after it was taken."""
        self.posts.append((headers, body))
        wrong = self.wrong.pop(0) if self.wrong else 200
        if path.endswith("/retract"):
            return self._take_back(path.split("/")[-2], wrong)
        if wrong in (200, "lost"):
            self.taken.setdefault(headers["webhook-id"], json.loads(body))
        return wrong if isinstance(wrong, int) else None

    def _take_back(self, key: str, wrong: int | str) -> int | None:
        """Something it was told does not stand any more."""
        if wrong in (200, "lost"):
            self.taken[key]["status"] = "retracted"
        return wrong if isinstance(wrong, int) else None

    def shows(self, key: str) -> tuple[int, dict[str, Any]]:
        """What it answers when it is asked for a key."""
        self.reads.append(key)
        found = self.taken.get(key)
        if found is None:
            return 404, {}
        status = found.get("status", "succeeded")
        return 200, {"key": key, "status": status, "id": f"ev_{key[:8]}", "data": found["data"], **self.says}


@contextmanager
def receiver() -> Iterator[Receiver]:
    """One that listens as long as it is needed."""
    told = Receiver()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = told.take({name.lower(): value for name, value in self.headers.items()}, body, self.path)
            if status is None:
                self.close_connection = True
                return
            self.answer(status, {})

        def do_GET(self) -> None:
            self.answer(*told.shows(self.path.rpartition("/")[2]))

        def answer(self, status: int, document: dict[str, Any]) -> None:
            text = json.dumps(document).encode() if document else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    told.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
