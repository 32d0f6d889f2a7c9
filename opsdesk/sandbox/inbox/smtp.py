"""The SMTP side: aiosmtpd on a thread of its own, answering 250 only when the mail is stored."""

from __future__ import annotations

import asyncio
import logging
import socket
import sqlite3
import threading

from aiosmtpd.smtp import SMTP, Envelope, Session

from opsdesk.sandbox.inbox.mailbox import Mailbox
from opsdesk.sandbox.server import why_not_bound

log = logging.getLogger(__name__)

SIZE_LIMIT = 10 * 1024 * 1024


class _Receiver:
    """What aiosmtpd calls when a mail has come in whole."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store the mail, or tell the sender to try again."""
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
        try:
            self.mailbox.keep(envelope.mail_from or "", list(envelope.rcpt_tos), raw)
        except sqlite3.Error:
            log.exception("A mail could not be stored")
            return "451 The mail could not be stored, try again later"
        return "250 Stored"


class Post:
    """Listens for SMTP; port 0 takes a free one."""

    def __init__(self, host: str, port: int, mailbox: Mailbox) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as problem:
            raise SystemExit(why_not_bound(host, port, problem)) from None
        self.port = int(self._socket.getsockname()[1])
        self._receiver = _Receiver(mailbox)

    def start(self) -> None:
        """Take mails in the background until the process ends."""
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), name="smtp", daemon=True).start()
        ready.wait()

    def _run(self, ready: threading.Event) -> None:
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(
                self._receiver,
                data_size_limit=SIZE_LIMIT,
                enable_SMTPUTF8=True,
                hostname="inbox.sandbox",
                ident="opsdesk sandbox",
                loop=loop,
            ),
            sock=self._socket,
        )
        ready.set()
        async with server:
            await server.serve_forever()
