"""The web server's threads, kept from senders who take their time.

A thread that reads a request waits for its sender. Eight senders of one byte a second would hold all eight threads of a
process for as long as they like. Here a request has to be there within its time, and only half of the threads may
wait for slow ones at all; what is cut off comes again, as every sender of webhooks does.
"""

import select
import socket
import threading
import time

from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import TConn, ThreadWorker

WHOLE_WITHIN_SECONDS = 15.0
# A sender whose next bytes are not there by then is a slow one.
SLOW_AFTER_SECONDS = 0.05


class PunctualSocket(socket.socket):
    """A connection whose requests have to arrive in time."""

    waiting: threading.Semaphore
    _end: float
    _cut: bool

    def begin(self) -> None:
        """From now on the time of a request counts."""
        self._end = time.monotonic() + WHOLE_WITHIN_SECONDS
        self._cut = False

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
    """Gunicorn's threads, of which at most half wait for slow senders."""

    def init_process(self) -> None:
        """As gunicorn does; the places to wait in belong to this process."""
        self._waiting = threading.Semaphore(max(1, self.cfg.threads // 2))
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        """Every request begins here: a new connection's, one that said nothing yet, one that is kept."""
        if not isinstance(conn.sock, PunctualSocket):
            punctual = PunctualSocket(fileno=conn.sock.detach())
            punctual.waiting = self._waiting
            conn.sock = punctual
        conn.sock.begin()
        super().enqueue_req(conn)
