"""A small threaded HTTP/1.1 server: keep-alive, no delay, and able to break off an answer on purpose.

Standard servers work hard never to lose an answer. This one must lose answers when told to, so it
holds the socket itself; what it does not need (chunked bodies, TLS, pipelining) it refuses or leaves out.
"""

from __future__ import annotations

import errno
import json
import logging
import socket
import socketserver
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

log = logging.getLogger(__name__)

LINE_LIMIT = 16_384
HEADER_LIMIT = 100
IDLE_SECONDS = 75.0
REASONS = {status.value: status.phrase for status in HTTPStatus}


class Cut(Enum):
    """How an answer is broken off."""

    NOTHING_SENT = "close the connection without a byte"
    HALF_SENT = "send half of the body, then reset the connection"


@dataclass(slots=True)
class Request:
    """One request as it came: header names in lower case, the body as raw bytes."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def wants_page(self) -> bool:
        """Whether a person's browser asked, rather than a program."""
        return "text/html" in self.headers.get("accept", "")


@dataclass(slots=True)
class Response:
    """One answer, and what should go wrong while giving it."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    cut: Cut | None = None
    afterwards: Callable[[], None] | None = None

    @classmethod
    def json(cls, document: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """Answer with a JSON document."""
        return cls(status, json.dumps(document, separators=(",", ":")).encode(), headers=headers)

    @classmethod
    def see_other(cls, path: str) -> Response:
        """Send a browser on to another page after a form."""
        return cls(303, headers=(("Location", path),))


class ProtocolError(Exception):
    """The bytes on the wire are not a request this server reads."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Application = Callable[[Request], Response]


class Server(socketserver.ThreadingTCPServer):
    """Listens on one address and gives every connection a thread of its own."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, host: str, port: int, application: Application, body_limit: int) -> None:
        self.application = application
        self.body_limit = body_limit
        super().__init__((host, port), _Connection)

    @property
    def port(self) -> int:
        """The port really taken (the asked one may have been 0)."""
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what no connection expected; a client that went away is not worth a line."""
        log.error("A connection broke", exc_info=sys.exc_info())


class _Connection(socketserver.StreamRequestHandler):
    rbufsize = 65_536
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        try:
            while self._answer_one():
                pass
        except (ConnectionError, TimeoutError):
            return  # the client left or fell silent; it will come again

    def _answer_one(self) -> bool:
        try:
            request = self._read()
        except ProtocolError as refusal:
            self._send(Response.json({"error": {"message": str(refusal)}}, refusal.status), keep=False)
            return False
        if request is None:
            return False
        response = self._respond(request)
        if response.delay:
            time.sleep(response.delay)
        if response.cut is not None:
            self._break_off(response)
            return False
        keep = request.headers.get("connection", "").lower() != "close"
        self._send(response, keep=keep, head_only=request.method == "HEAD")
        return keep

    def _respond(self, request: Request) -> Response:
        try:
            return self.server.application(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            message = "The sandbox itself failed; its log says why."
            return Response.json({"error": {"type": "api_error", "message": message}}, 500)

    def _read(self) -> Request | None:
        """Read one request; nothing when the client closed the connection in peace."""
        line = self.rfile.readline(LINE_LIMIT)
        if not line:
            return None
        parts = line.decode("latin-1").split()
        if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not line.endswith(b"\n"):
            raise ProtocolError(400, "This is not an HTTP/1.1 request line.")
        method, target, version = parts
        headers = self._read_headers()
        if version == "HTTP/1.0":
            headers.setdefault("connection", "close")
        body = self._read_body(headers)
        path, _, query = target.partition("?")
        return Request(method, path, query, headers, body)

    def _read_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for _ in range(HEADER_LIMIT + 1):
            line = self.rfile.readline(LINE_LIMIT)
            if line in {b"\r\n", b"\n", b""}:
                return headers
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not line.endswith(b"\n"):
                raise ProtocolError(400, "A header line is broken or too long.")
            headers[name.strip().lower()] = value.strip()
        raise ProtocolError(431, "Too many header lines.")

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" in headers:
            raise ProtocolError(411, "Send a Content-Length; chunked bodies are not read here.")
        text = headers.get("content-length", "0")
        if not text.isascii() or not text.isdigit():
            raise ProtocolError(400, "Content-Length is not a number.")
        length = int(text)
        if length > self.server.body_limit:
            raise ProtocolError(413, f"The body is larger than {self.server.body_limit} bytes.")
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            raise ConnectionResetError("the client left in the middle of its request")
        return body

    def _send(self, response: Response, *, keep: bool, head_only: bool = False) -> None:
        head = _head(response, keep=keep)
        self.wfile.write(head if head_only else head + response.body)

    def _break_off(self, response: Response) -> None:
        """Lose the answer: the client sees a closed or a reset connection."""
        if response.cut is Cut.HALF_SENT:
            half = response.body[: max(1, len(response.body) // 2)]
            self.wfile.write(_head(response, keep=True) + half)
            time.sleep(0.02)  # let the half arrive before the reset discards what is still under way
            # Zero linger makes close() send a reset instead of an orderly end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        if response.afterwards is not None:
            response.afterwards()

    def finish(self) -> None:
        """Close without flushing into a connection that may be gone."""
        self.rfile.close()


def _head(response: Response, *, keep: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        *(f"{name}: {value}" for name, value in response.headers),
    ]
    if not keep:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def bind(host: str, port: int, application: Application, *, body_limit: int) -> Server:
    """Listen, or end the process with one sentence that says what is in the way."""
    try:
        return Server(host, port, application, body_limit)
    except OSError as problem:
        raise SystemExit(why_not_bound(host, port, problem)) from None


def why_not_bound(host: str, port: int, problem: OSError) -> str:
    """Say in one sentence why an address could not be taken."""
    if problem.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is already in use: stop what listens there or choose another port."
    return f"Cannot listen on {host} port {port}: {problem.strerror or problem}."
