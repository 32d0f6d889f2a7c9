"""What both sandbox processes do alike: say where they listen, and end quietly on a signal."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable

from opsdesk.sandbox.server import Server


def say(line: str) -> None:
    """Write one line for the person or program that started this process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run_until_told_to_stop(server: Server, *, announce: str, on_stop: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; then stop taking requests and return."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)

    def stop(_signal: int, _frame: object) -> None:
        # shutdown() waits for the serving loop, which runs in this very thread.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    say(announce)
    server.serve_forever(poll_interval=0.2)
    server.server_close()
    on_stop()
