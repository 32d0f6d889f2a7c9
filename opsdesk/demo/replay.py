"""Play the shop's refund requests to the running desk, in their order and at a chosen pace."""

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from opsdesk.demo.deliveries import Delivery
from opsdesk.demo.records import RefundRequest
from opsdesk.demo.shop import Answer, Shop

# A gentle replay shows something at once and then leaves time to read.
QUICK_ONES, QUICK_PAUSE, GENTLE_PAUSE = 25, 0.8, 10.0
REASONS_KEPT = 5


@dataclass
class Summary:
    """What became of the deliveries, by the desk's own answers."""

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    retried: int = 0
    reasons: list[str] = field(default_factory=list)

    def count(self, delivery: Delivery, answer: Answer) -> None:
        """Add one delivery with its answer."""
        self.sent += 1
        self.retried += answer.retries
        if not answer.taken:
            self.refused += 1
            if len(self.reasons) < REASONS_KEPT:
                self.reasons.append(f"{delivery.request.reference}: {answer.status} {answer.text[:120]}")
        elif answer.duplicate:
            self.duplicates += 1
        else:
            self.accepted += 1

    def __str__(self) -> str:
        figures = (
            f"sent {self.sent}, accepted {self.accepted}, duplicates {self.duplicates}, "
            f"refused {self.refused}, retried {self.retried}"
        )
        return "\n".join([figures, *(f"  refused {reason}" for reason in self.reasons)])


def pending(requests: Sequence[RefundRequest], arrived: Collection[str], count: int | None) -> list[RefundRequest]:
    """The next requests that have not arrived: this is how a restarted replay goes on where it stopped."""
    left = (request for request in requests if request.reference not in arrived)
    return list(itertools.islice(left, count))


def at_speed(per_second: float | None) -> Iterator[float]:
    """Pauses for so many deliveries a second; none gives no pause at all."""
    return itertools.repeat(1 / per_second if per_second else 0.0)


def gently() -> Iterator[float]:
    """A few quick ones, then one now and then."""
    return itertools.chain(itertools.repeat(QUICK_PAUSE, QUICK_ONES), itertools.repeat(GENTLE_PAUSE))


def play(
    deliveries: Iterable[Delivery],
    shop: Shop,
    pauses: Iterator[float],
    summary: Summary,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Deliver all; a pause counts from the start of the delivery before it, so a slow desk keeps the pace.

    `summary` is filled as it goes, so that it can be told when the replay is broken off.
    """
    due = time.monotonic()
    for delivery in deliveries:
        wait = due - time.monotonic()
        if wait > 0:
            sleep(wait)
        due = max(due, time.monotonic() - 1.0) + next(pauses)  # after an outage: no burst beyond a second's worth
        summary.count(delivery, shop.deliver(delivery.request))
