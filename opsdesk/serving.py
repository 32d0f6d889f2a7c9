"""The web server's threads, kept from senders who take their time.

A thread that reads a request waits for its sender. Eight senders of one byte a second would hold all eight threads of a
process for as long as they like. Here a request has to be there within its time, and only half of the threads may
wait for slow ones at all; what is cut off comes again, as every sender of webhooks does.

Gunicorn lets any number of requests wait for a thread. Here the thread that accepts them looks at their first line and
lets in what there is room for (`admission.py`); the others have their answer before any thread was needed.
"""

import contextlib
import errno
import select
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import TConn, ThreadWorker

from opsdesk.admission import Kind, Lane, Refusal, kind_of, lanes

WHOLE_WITHIN_SECONDS = 15.0
# A connection has to say something by then; and one that was refused, to have hung up.
SPEAKS_WITHIN_SECONDS = 5.0
# As much as tells method and path; and the head of any request that a browser makes.
FIRST_BYTES, WHOLE_HEAD = 512, 16 * 1024
# Whenever the thread that accepts has called the system, it waits until the others let it go on: with Python's usual
# five milliseconds each, a refusal would take longer than many a page.
TURN_SECONDS = 0.001
# A sender whose next bytes are not there by then is a slow one.
SLOW_AFTER_SECONDS = 0.05


class PunctualSocket(socket.socket):
    """A connection whose requests have to arrive in time."""

    waiting: threading.Semaphore
    lane: Lane
    _end: float
    _cut: bool

    def begin(self) -> None:
        """From now on the time of a request counts."""
        self._end = time.monotonic() + WHOLE_WITHIN_SECONDS
        self._cut = False

    def seen(self) -> bytes | None:
        """The first bytes of what is there, which stay there. None: nothing yet; b"": the sender hung up."""
        try:
            return super().recv(FIRST_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def drop(self) -> bool:
        """Read what is there and forget it; whether more may come."""
        try:
            return bool(super().recv(64 * 1024, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def recv(self, size: int, flags: int = 0) -> bytes:
        """The next bytes. Raises NoMoreData, as for a sender who hung up, when they do not come in time."""
        if self._cut or not self._has_more() or time.monotonic() > self._end:
            self._cut = True
            raise NoMoreData
        return super().recv(size, flags)

    def _has_more(self) -> bool:
        if self._is_there_within(SLOW_AFTER_SECONDS):
            return True
        # The main thread accepts everybody's connections, and only drains those it closes: it waits for nobody.
        if threading.current_thread() is threading.main_thread() or not self.waiting.acquire(blocking=False):
            return False
        try:
            return self._is_there_within(self._end - time.monotonic())
        finally:
            self.waiting.release()

    def _is_there_within(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))


class PunctualThreads(ThreadWorker):
    """Gunicorn's threads, of which at most half wait for slow senders, and which only get what there is room for."""

    lanes: dict[Kind, Lane]

    def init_process(self) -> None:
        """As gunicorn does; the places to wait in belong to this process."""
        self._waiting = threading.Semaphore(max(1, self.cfg.threads // 2))
        sys.setswitchinterval(TURN_SECONDS)
        super().init_process()

    def load_wsgi(self) -> None:
        """As gunicorn does; then there are settings and templates."""
        super().load_wsgi()
        self.lanes = lanes(self.cfg.threads)
        self._refusals = {kind: Refusal(kind) for kind in Kind}

    def accept(self, listener: socket.socket) -> None:
        """Take in the next one; whom there is no room for is refused on the way, with as few calls as possible."""
        try:
            client, address = listener.accept()
            while self._is_refused_at_the_door(client):
                client, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        self.enqueue_req(TConn(self.cfg, client, address, listener.getsockname()))

    def _is_refused_at_the_door(self, client: socket.socket) -> bool:
        """Refuse a request without a body that is there as a whole: nothing comes that would tear the answer off."""
        try:
            head = client.recv(WHOLE_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return False
        kind = kind_of(head)
        if not self.lanes[kind].full or not head.endswith(b"\r\n\r\n"):
            return False
        self.lanes[kind].refused += 1
        with contextlib.suppress(OSError):
            client.send(bytes(self._refusals[kind]), socket.MSG_DONTWAIT)
            client.recv(WHOLE_HEAD, socket.MSG_DONTWAIT)
        client.close()
        return True

    def enqueue_req(self, conn: TConn) -> None:
        """Every request begins here: a new connection's, one that said nothing yet, one that is kept."""
        if not isinstance(conn.sock, PunctualSocket):
            punctual = PunctualSocket(fileno=conn.sock.detach())
            punctual.waiting = self._waiting
            conn.sock = punctual
        head = _read_ahead(conn) or conn.sock.seen()
        if head is None:
            self._wait_for(conn, self.on_pending_socket_readable)
        elif not head:
            self._hang_up(conn)
        else:
            self._let_in(conn, kind_of(head))

    def finish_request(self, conn: TConn, fs: "Future[object]") -> None:
        """As gunicorn does; then the next of its lane has the thread."""
        following = conn.sock.lane.leave()
        super().finish_request(conn, fs)
        if following is not None:
            self._work_on(following)

    def _let_in(self, conn: TConn, kind: Kind) -> None:
        conn.sock.lane = lane = self.lanes[kind]
        if lane.full:
            lane.refused += 1
            self._refuse(conn, bytes(self._refusals[kind]))
        elif lane.enter(conn):
            self._work_on(conn)

    def _work_on(self, conn: TConn) -> None:
        conn.sock.begin()
        super().enqueue_req(conn)

    def _refuse(self, conn: TConn, answer: bytes) -> None:
        """Say so and wait for the other side to hang up: closing on bytes that come in would tear the answer off."""
        try:
            conn.sock.send(answer, socket.MSG_DONTWAIT)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._hang_up(conn)
        else:
            self._wait_for(conn, self._drop_what_comes)

    def _drop_what_comes(self, conn: TConn, client: PunctualSocket) -> None:
        if not client.drop():
            self.poller.unregister(client)
            self.pending_conns.remove(conn)
            self._hang_up(conn)

    def _wait_for(self, conn: TConn, then: Callable[[TConn, PunctualSocket], None]) -> None:
        """Have the main loop look at it again when something comes; gunicorn closes it when nothing does."""
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + SPEAKS_WITHIN_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(then, conn))

    def _hang_up(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()


def _read_ahead(conn: TConn) -> bytes:
    """What was read of the next request together with the one before it."""
    return bytes(conn.parser.unreader.buf.getvalue()) if conn.parser else b""
