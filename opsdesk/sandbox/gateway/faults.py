"""Misbehaving on demand: one request by header, the next n by a queue, a share of all by a seeded die."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import Any

from opsdesk.sandbox.server import Request

# Each fault with its default argument; None means it takes none, "" that one must be given.
FAULTS: dict[str, str | None] = {
    "lost_before": None,
    "lost_after": None,
    "effect_later": "0",
    "reset_mid_body": None,
    "slow": "",
    "429": "1",
    "500_before": None,
    "500_after": None,
    "503": "0",
    "wrong_amount": "-1",
    "wrong_answer": "-1",
    "pending": "0",
    "requires_action": "0",
    "fails_later": "1",
}
LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave, such as `slow=2.5` or `429=date:5`."""

    kind: str
    argument: str | None = None

    def __str__(self) -> str:
        return self.kind if self.argument is None else f"{self.kind}={self.argument}"

    @property
    def seconds(self) -> float:
        """The argument as a time span; `date:` in front of it is a matter of writing only."""
        return float(("0" if self.argument is None else self.argument).removeprefix("date:"))

    @property
    def difference(self) -> int:
        """The argument as minor units to be wrong by."""
        return int("0" if self.argument is None else self.argument)


def parse(text: str) -> Fault:
    """Read `kind` or `kind=argument`; raises ValueError with a sentence."""
    kind, has_argument, argument = text.strip().partition("=")
    if kind not in FAULTS:
        raise ValueError(f"Unknown fault {kind!r}; known are {', '.join(FAULTS)}.")
    default = FAULTS[kind]
    if default is None:
        if has_argument:
            raise ValueError(f"The fault {kind} takes no argument.")
        return Fault(kind)
    fault = Fault(kind, argument if has_argument else default)
    try:
        wrong = kind.startswith("wrong_")
        valid = fault.difference != 0 if wrong else 0 <= fault.seconds <= LONGEST_SECONDS
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"{text!r} is not a fault: {kind} needs a number that makes sense.")
    return fault


@dataclass(slots=True)
class Queued:
    """A fault waiting for its next matching requests."""

    fault: Fault
    method: str | None
    path_prefix: str
    times: int

    def matches(self, request: Request) -> bool:
        """Whether this request is one it waits for."""
        return (self.method is None or self.method == request.method) and request.path.startswith(self.path_prefix)


class Chaos:
    """Shares of faults drawn from one seed: the nth matching request always meets the same fate."""

    def __init__(self, wish: dict[str, Any]) -> None:
        shares = wish.get("shares")
        if not isinstance(shares, dict) or not shares:
            raise ValueError('Chaos needs shares, such as {"lost_after": 0.05}.')
        self.shares = [(parse(text), float(share)) for text, share in shares.items()]
        if any(share < 0 for _, share in self.shares) or sum(share for _, share in self.shares) > 1.000001:
            raise ValueError("The shares must lie between 0 and 1 and add up to at most 1.")
        self.seed = int(wish.get("seed", 0))
        self.paths = str(wish.get("paths", "/v1/"))
        self.method = wish.get("method")
        self.drawn = self.hit = 0
        self._die = random.Random(self.seed)  # noqa: S311 - repeatable on purpose

    def draw(self, request: Request) -> Fault | None:
        """The fate of the next request."""
        if not request.path.startswith(self.paths) or self.method not in {None, request.method}:
            return None
        self.drawn += 1
        mark = self._die.random()
        for fault, share in self.shares:
            mark -= share
            if mark < 0:
                self.hit += 1
                return fault
        return None

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "seed": self.seed,
            "shares": {str(fault): share for fault, share in self.shares},
            "paths": self.paths,
            "method": self.method,
            "drawn": self.drawn,
            "hit": self.hit,
        }


class Faults:
    """Decides for each request what goes wrong with it: header first, then the queue, then chaos."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[Queued] = []
        self._chaos: Chaos | None = None

    def pick(self, request: Request) -> Fault | None:
        """The fault for this request, if any; raises ValueError for an unknown header."""
        told = request.headers.get("x-sandbox-fault")
        if told:
            return parse(told)
        with self._lock:
            for queued in self._queue:
                if queued.matches(request):
                    queued.times -= 1
                    if not queued.times:
                        self._queue.remove(queued)
                    return queued.fault
            return self._chaos.draw(request) if self._chaos else None

    def queue(self, wish: dict[str, Any]) -> None:
        """Add {"fault": "slow=2", "match": {"method": "POST", "path_prefix": "/v1/refunds"}, "times": 1}."""
        match = wish.get("match") or {}
        times = int(wish.get("times", 1))
        if times < 1:
            raise ValueError("A queued fault needs times of at least 1.")
        method = match.get("method")
        prefix = str(match.get("path_prefix", "/v1/"))
        queued = Queued(parse(str(wish.get("fault", ""))), method and str(method).upper(), prefix, times)
        with self._lock:
            self._queue.append(queued)

    def clear_queue(self) -> None:
        """Forget the queued faults."""
        with self._lock:
            self._queue.clear()

    def set_chaos(self, wish: dict[str, Any] | None) -> None:
        """Start drawing from a fresh die, or stop."""
        chaos = Chaos(wish) if wish is not None else None
        with self._lock:
            self._chaos = chaos

    def describe(self) -> dict[str, Any]:
        """What is going to go wrong, as JSON."""
        with self._lock:
            return {
                "queue": [
                    {
                        "fault": str(queued.fault),
                        "match": {"method": queued.method, "path_prefix": queued.path_prefix},
                        "times": queued.times,
                    }
                    for queued in self._queue
                ],
                "chaos": self._chaos.describe() if self._chaos else None,
            }
