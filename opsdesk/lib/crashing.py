"""Crash points: places at which a process can be told to die, so that tests can prove that nothing is lost there.

`OPSDESK_CRASH=name:nth` makes a process kill itself with SIGKILL when it passes the point for the nth time. Without the
variable a point costs one comparison. Points stand before and after every commit and every call of the line.
"""

import os
import signal
from collections.abc import Iterator
from itertools import count
from typing import Literal, get_args

Point = Literal[
    # The web process takes a webhook: stored is acknowledged, what was not acknowledged comes again.
    "intake.before_insert",
    "intake.after_insert",
    # Events become cases and runs.
    "take_in.before_commit",
    "take_in.after_commit",
    # The engine takes runs, asks the outside and moves them on.
    "claim.before_commit",
    "claim.after_commit",
    "fetch.before",
    "fetch.after",
    "step.before_commit",
    "step.after_commit",
    "failure.before_commit",
    "failure.after_commit",
    "sweep.before",
    "sweep.after",
    "poison.before_commit",
    "poison.after_commit",
    "repair.before_commit",
    "repair.after_commit",
    # Money moves: intent, call, record.
    "intent.reserved",
    "sending.before_commit",
    "sending.after_commit",
    "look_up.before",
    "look_up.after",
    "call.before",
    "call.after",
    "read_back.before",
    "read_back.after",
    "record.before",
    "record.before_commit",
    "record.after_commit",
    "verify.before_commit",
    # People decide, and time lets it take effect.
    "vote.before_commit",
    "vote.after_commit",
    "objection.before_commit",
    "objection.after_commit",
    "settle.before_commit",
    "settle.after_commit",
    "window.before_commit",
    "window.after_commit",
    "leave.before_commit",
    "leave.after_commit",
    # Mails and the copies of what stands outside.
    "notice.claimed",
    "notice.sent",
    "notice.before_commit",
    "notice.after_commit",
    "reread.claimed",
    "reread.read",
    "reread.before_commit",
    "reread.after_commit",
]
POINTS: tuple[Point, ...] = get_args(Point)


class UnknownPoint(RuntimeError):
    """No such point is registered, or its number is not a positive one."""


def read(text: str) -> tuple[str, Iterator[int]]:
    """The point named by `name:nth`, and how many passings are left, down to zero. Raises UnknownPoint."""
    name, _, nth = text.partition(":")
    if name not in POINTS or not nth.isdecimal() or int(nth) < 1:
        raise UnknownPoint(
            f"OPSDESK_CRASH={text} is not one of the registered points and a number: {', '.join(POINTS)}."
        )
    return name, count(int(nth) - 1, -1)


_wanted = os.environ.get("OPSDESK_CRASH")
_armed = read(_wanted) if _wanted else None


def arm(text: str) -> None:
    """Arm this process as OPSDESK_CRASH would have at its start. Raises UnknownPoint."""
    global _armed  # noqa: PLW0603 - one process dies once
    _armed = read(text)


def crashpoint(name: Point) -> None:
    """Die here, without a chance to tidy up, if this is the passing that was asked for."""
    if _armed is not None:
        _pass(name)


def _pass(name: str) -> None:
    if name not in POINTS:
        raise UnknownPoint(f"The crash point {name} is not registered.")
    wanted, left = _armed or ("", iter(()))
    # Steps of an iterator are whole even between threads.
    if name == wanted and next(left) == 0:
        os.write(2, f"crash point {name}: this process kills itself\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
