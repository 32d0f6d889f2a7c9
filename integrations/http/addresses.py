"""Which addresses the desk may call: public ones over https, and the exceptions named in the settings."""

import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from integrations.errors import AddressRefused

# Ranges that Python's is_global lets through, in some version at least, but that lead elsewhere than they say:
# translations and tunnels to any IPv4 address, site-local, protocol assignments.
_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24", "192.88.99.0/24", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16",
        "fec0::/10", "5f00::/16",
    )
]  # fmt: skip
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.?")

SocketAddress = tuple[socket.AddressFamily, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Root:
    """Where an outside system's API begins: scheme, host, port and the path in front of every call."""

    scheme: str
    host: str
    port: int
    path: str


def check_url(url: str) -> Root:
    """Read the root address of a connection; raises AddressRefused with a sentence.

    Says nothing about where its name leads: that is asked anew for every connection, in `addresses_of`.
    """
    if not url.isascii() or re.search(r"[\x00-\x20\\]", url):
        raise AddressRefused("The address has a character that no address has.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise AddressRefused("That is not an address.") from error
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise AddressRefused("The address may have neither a user nor a question mark nor a fragment.")
    if not (_NAME.fullmatch(host) or _literal(host)):
        raise AddressRefused("The address names no host.")
    if ".." in parts.path or "//" in parts.path:
        raise AddressRefused("The path of the address may not lead upwards or be empty in the middle.")
    root = Root(parts.scheme, host, port or {"http": 80}.get(parts.scheme, 443), parts.path.rstrip("/"))
    if root.scheme not in {"http", "https"} or (root.scheme == "http" and not is_exception(host, root.port)):
        raise AddressRefused("The address must begin with https://.")
    return root


def is_exception(host: str, port: int) -> bool:
    """Whether the settings let this host and port through, whatever and wherever it is."""
    return f"[{host}]:{port}" in _exceptions() if ":" in host else f"{host}:{port}" in _exceptions()


# Let through by `letting_through`, in this context only.
_for_now: ContextVar[tuple[str, ...]] = ContextVar("let_through_for_now", default=())


def _exceptions() -> list[str]:
    return [*settings.OUTBOUND_EXCEPTIONS, *_for_now.get()]


@contextmanager
def letting_through(places: Iterable[str]) -> Iterator[None]:
    """Let these hosts with their ports through inside the block, and nowhere else: a sandbox that it started itself."""
    token = _for_now.set(tuple(places))
    try:
        yield
    finally:
        _for_now.reset(token)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet and nothing in disguise."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    return not any(ip in network for network in _NOT_PUBLIC if network.version == ip.version)


def addresses_of(host: str, port: int, *, within: float) -> list[SocketAddress]:
    """Where a name leads, every address checked; raises AddressRefused, OSError, or TimeoutError (an OSError)."""
    found = _look_up(host, port, within)
    if not is_exception(host, port):
        for _, address in found:
            if not is_public(str(address[0])):
                raise AddressRefused(f"{host} leads to {address[0]}, which is not a public address.")
    return found


def _look_up(host: str, port: int, within: float) -> list[SocketAddress]:
    """Ask the resolver in a thread: the system's own call knows no time limit."""
    if _literal(host):
        return _ask(host, port)
    answers: queue.Queue[list[SocketAddress] | OSError] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(_ask(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=within)
    except queue.Empty:
        raise TimeoutError(f"Looking up {host} took longer than {within:g} s.") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _ask(host: str, port: int) -> list[SocketAddress]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [(family, address) for family, _, _, _, address in found]


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
