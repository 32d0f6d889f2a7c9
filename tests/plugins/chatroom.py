"""A chat service on a port of its own: it remembers what was posted, and answers as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Chatroom:
    """`posts` are paths with the documents that came; `answers` are statuses given next, 200 when there are none."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.port = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """Where apprise posts to."""
        return f"json://{self.host}/room/secret-token"

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Titles and texts."""
        return [(document["title"], document["message"]) for _, document in self.posts]


@contextmanager
def chatroom() -> Iterator[Chatroom]:
    """One that listens as long as it is needed."""
    room = Chatroom()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            room.posts.append((self.path, json.loads(body)))
            room.headers.append({name.lower(): value for name, value in self.headers.items()})
            status = room.answers.pop(0) if room.answers else 200
            self.send_response(status)
            self.send_header("Content-Length", "0")
            if 300 <= status < 400:
                self.send_header("Location", f"http://{room.host}/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    room.port = server.server_port
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield room
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def room(settings: Any) -> Iterator[Chatroom]:
    """A chat service that the desk may call."""
    with chatroom() as started:
        settings.OUTBOUND_EXCEPTIONS = [started.host]
        yield started
