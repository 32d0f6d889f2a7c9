"""Senders of webhooks, signing as the schemes say, through the desk's own short way for intake."""

import base64
import hashlib
import hmac
import io
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection

from opsdesk.wsgi import application

SHOP_SECRET = "whsec_b2YgdGhlIHNob3AncyB0ZXN0cw=="
STRIPE_SECRET = "whsec_of_the_gateway_s_tests"
_numbers = itertools.count(1)


def standard_headers(
    body: bytes, *, message: str = "", secret: str = SHOP_SECRET, at: int | None = None
) -> dict[str, str]:
    """Standard Webhooks over raw bytes, which the scheme's own package cannot sign."""
    message = message or f"msg_{next(_numbers)}"
    at = int(time.time()) if at is None else at
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message}.{at}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def stripe_headers(body: bytes, *, secret: str = STRIPE_SECRET, at: int | None = None) -> dict[str, str]:
    at = int(time.time()) if at is None else at
    digest = hmac.digest(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return {"stripe-signature": f"t={at},v1={digest.hex()}"}


def refund_requested(reference: str = "C536391") -> bytes:
    """What the shop sends."""
    data = {"reference": reference, "payment": "pi_536365", "amount": "141.48", "currency": "GBP"}
    return json.dumps({"type": "refund.requested", "timestamp": "2026-05-01T09:30:00Z", "data": data}).encode()


class Reply:
    """What the desk answered."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = int(status.split(maxsplit=1)[0])
        self.headers = {name.lower(): value for name, value in headers}
        self.json = json.loads(body) if body else None


class Counted(io.RawIOBase):
    """An endless body that counts how much of it was read."""

    def __init__(self, total: int) -> None:
        self.left = total
        self.read_so_far = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        many = min(len(buffer), self.left, 8192)
        buffer[:many] = b" " * many
        self.left -= many
        self.read_so_far += many
        return many


@contextmanager
def _connection_of_the_test() -> Iterator[None]:
    """Keep the end of a request from closing the connection that holds the test's transaction."""
    if not connection.in_atomic_block:
        yield
        return
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


class Sender:
    """Posts to one address of the desk, as the web server hands a request over."""

    def __init__(self, path: str) -> None:
        self.path = path

    def post(self, body: bytes, headers: dict[str, str], **environ: Any) -> Reply:
        """Send a body as it is; keywords replace parts of the WSGI environment, None leaves them out."""
        whole = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": self.path,
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1:8000",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.url_scheme": "http",
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
            **environ,
        }
        started: list[Any] = []
        environment = {name: value for name, value in whole.items() if value is not None}
        with _connection_of_the_test():
            parts = application(environment, lambda status, sent, trouble=None: started.extend((status, sent)))
            content = b"".join(parts)
            parts.close()
        return Reply(started[0], started[1], content)

    def send(self, body: bytes, *, message: str = "", **environ: Any) -> Reply:
        """Send a body signed as the shop signs."""
        return self.post(body, standard_headers(body, message=message), **environ)

    def send_as_stripe(self, body: bytes) -> Reply:
        """Send a body signed as the gateway signs."""
        return self.post(body, stripe_headers(body))
