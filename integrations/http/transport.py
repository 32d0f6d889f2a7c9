"""One request and its answer on the wire: connected to a checked address, bounded in time and size.

The only module of the desk that may import an HTTP client.
"""

import http.client
import io
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from integrations.errors import AddressRefused
from integrations.http.addresses import addresses_of, is_exception
from workflows.states import FailureKind

CHUNK = 65_536
# Shorter than servers keep a quiet connection open (Node: 5 s): a request must not meet a closing door, because
# nobody can tell whether it was still read.
REUSE_SECONDS = 4.0
CONNECTIONS_PER_HOST = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a call may take, in seconds, and how many bytes its answer may have."""

    connect: float = 3.0
    read: float = 20.0
    total: float = 25.0
    largest: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Received:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(Exception):
    """Nothing usable came back; `sent` says whether the other side may have read the request."""

    def __init__(self, kind: FailureKind, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.sent = sent


class _Exchange(threading.local):
    """What the connections of this thread must know about the call that is under way."""

    limits: Limits = Limits()
    ends: float = 0.0
    sent: bool = False


_exchange = _Exchange()


class _UntilTheEnd(io.RawIOBase):
    """Reads a socket until the call's time is over, however slowly its bytes trickle in."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = _exchange.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's time is over")
        self._sock.settimeout(min(_exchange.limits.read, left))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_UntilTheEnd(sock), CHUNK)


class _Pinned(HTTPConnection):
    """Connects to an address that was checked; Host header, SNI and certificate keep the name."""

    response_class = _BoundedResponse
    encrypted = False
    used_at = 0.0

    def _new_conn(self) -> socket.socket:
        if not self.encrypted and not is_exception(self.host, self.port):
            raise AddressRefused("Calls that are not encrypted go to exceptions only.")
        return _connect(self.host, self.port, _exchange.limits.connect)

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self.used_at < REUSE_SECONDS and super().is_connected

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _exchange.sent = True
        super().send(data)

    def getresponse(self) -> Any:
        response = super().getresponse()
        self.used_at = time.monotonic()
        return response


class _PinnedTLS(_Pinned, HTTPSConnection):
    encrypted = True


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Pinned


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _PinnedTLS


class _Adapter(requests.adapters.HTTPAdapter):
    """Keeps connections open, and opens them only as the classes above do.

    It is used without a requests.Session: that would follow the environment's proxies and netrc, keep cookies,
    and read the whole body of a redirect.
    """

    def __init__(self) -> None:
        super().__init__(pool_maxsize=CONNECTIONS_PER_HOST, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class _Adapters:
    """The one adapter of this process; a forked child opens connections of its own."""

    def __init__(self) -> None:
        self.current = _Adapter()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.current = _Adapter()


_adapters = _Adapters()


def exchange(method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limits: Limits) -> Received:
    """Send one request and read its answer; raises NoAnswer, or AddressRefused before anything is sent."""
    _exchange.limits, _exchange.sent = limits, False
    _exchange.ends = time.monotonic() + limits.total
    request = requests.Request(method, url, headers=dict(headers), data=body).prepare()
    try:
        timeout = (limits.connect, limits.read)
        response = _adapters.current.send(request, stream=True, timeout=timeout, verify=True)
        with response:
            return Received(response.status_code, response.headers, _read(response.raw, limits.largest))
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _lost(error) from error


def _read(raw: Any, largest: int) -> bytes:
    """The whole body, as long as it is not too large; it was asked for uncompressed."""
    if raw.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise NoAnswer(FailureKind.TRANSIENT, "It answered in a compression nobody asked for.", sent=True)
    chunks, size = [], 0
    while chunk := raw.read(CHUNK, decode_content=False):
        chunks.append(chunk)
        size += len(chunk)
        if size > largest:
            raise NoAnswer(FailureKind.TRANSIENT, f"Its answer is larger than {largest} bytes.", sent=True)
    return b"".join(chunks)


def _lost(error: Exception) -> NoAnswer:
    if not _exchange.sent:
        unproven = _is(error, requests.exceptions.SSLError)
        message = "It did not prove who it is (TLS)." if unproven else "The connection broke before the request."
        return NoAnswer(FailureKind.INFRASTRUCTURE, message, sent=False)
    if _is(error, requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
        return NoAnswer(FailureKind.TRANSIENT, "It did not answer in time.", sent=True)
    return NoAnswer(FailureKind.TRANSIENT, "The connection broke before the answer was complete.", sent=True)


def _is(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    """Whether an error, or one it wraps, is of these kinds."""
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__ or error.__context__
    return False


def _connect(host: str, port: int, within: float) -> socket.socket:
    """Open a socket to one of the checked addresses; raises NoAnswer or AddressRefused, nothing being sent."""
    ends = time.monotonic() + within
    try:
        found = addresses_of(host, port, within=within)
    except OSError as error:
        message = "Its name could not be looked up."
        raise NoAnswer(FailureKind.INFRASTRUCTURE, message, sent=False) from error
    trouble: OSError | None = None
    for family, address in found:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(ends - time.monotonic(), 0.001))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            trouble = error
        else:
            sock.settimeout(within)  # for the TLS handshake, which counts it as a whole
            return sock
    raise NoAnswer(FailureKind.INFRASTRUCTURE, "It could not be reached.", sent=False) from trouble
