"""A server that does exactly what a test tells it, one script for each request, byte by byte if need be."""

import datetime
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Script = Callable[[socket.socket], None]


def answer(document: Any = None, status: int = 200, body: bytes | None = None, **headers: str) -> Script:
    """A whole answer with Content-Length."""
    body = json.dumps({} if document is None else document).encode() if body is None else body
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *lines])
    return lambda sock: sock.sendall(f"{head}\r\n\r\n".encode() + body)


def raw(content: bytes, *, close: bool = True) -> Script:
    """These bytes and, usually, the end of the connection."""

    def play(sock: socket.socket) -> None:
        sock.sendall(content)
        if close:
            raise ConnectionAbortedError

    return play


def hang_up(sock: socket.socket) -> None:
    """Close without a byte."""
    raise ConnectionAbortedError


def reset(after: bytes = b"") -> Script:
    """Send something, then reset the connection."""

    def play(sock: socket.socket) -> None:
        sock.sendall(after)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        raise ConnectionAbortedError

    return play


def trickle(content: bytes, pause: float) -> Script:
    """One byte after the other, until the caller has had enough."""

    def play(sock: socket.socket) -> None:
        for byte in content:
            sock.sendall(bytes([byte]))
            time.sleep(pause)

    return play


def silence(sock: socket.socket) -> None:
    """Never answer."""
    time.sleep(3)


def endless(head: bytes) -> Script:
    """A body without an end."""

    def play(sock: socket.socket) -> None:
        sock.sendall(head)
        while True:
            sock.sendall(b"x" * 65_536)

    return play


class ScriptedServer:
    """Plays the next script for each request; the last one is played again and again."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.scripts: list[Script] = [answer()]
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def plays(self, *scripts: Script) -> "ScriptedServer":
        self.scripts = list(scripts)
        return self

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
            sock.settimeout(10)
            with sock:
                for request in _requests(sock):
                    self.requests.append(request)
                    script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                    script(sock)


def _requests(sock: socket.socket) -> Iterator[bytes]:
    """Whole requests, as long as the client sends some."""
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            chunk = sock.recv(65_536)
            if not chunk:
                return
            buffer += chunk
        head, _, rest = buffer.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].split(b":")[1]) if lengths else 0
        while len(rest) < length:
            rest += sock.recv(65_536)
        yield head + b"\r\n\r\n" + rest[:length]
        buffer = rest[length:]


def make_certificate(folder: Path, *names: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate that is its own authority, for names or addresses; the file to trust and a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, chain = folder / "trusted.pem", folder / "server.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    trusted.write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return trusted, context
