"""In which order the shop's events arrive: its own, with chosen shares twice, late, or out of order.

The outside world delivers like that; a desk that only works on a tidy sequence does not work.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from opsdesk.demo.records import RefundRequest

# How many others overtake: a moment's disorder, or a delivery that hung somewhere.
OUT_OF_ORDER_BY = (1, 5)
LATE_BY = (20, 60)
REPEATED_AFTER = (1, 40)


class Arrival(StrEnum):
    IN_ORDER = "in order"
    OUT_OF_ORDER = "out of order"
    LATE = "late"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Shares:
    """Which part of the events is delivered in which odd way, each between 0 and 1."""

    duplicates: float = 0.2
    late: float = 0.05
    out_of_order: float = 0.1

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.duplicates, self.late, self.out_of_order)):
            raise ValueError("A share lies between 0 and 1.")
        if self.late + self.out_of_order > 1:
            raise ValueError("The late and the out-of-order together cannot be more than all.")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One posting of one request."""

    request: RefundRequest
    arrival: Arrival


def plan(requests: Sequence[RefundRequest], shares: Shares, *, seed: int) -> list[Delivery]:
    """Lay out the deliveries; the same seed gives the same plan.

    The shares are met exactly (rounded to whole requests). Each late or out-of-order one comes after some
    later request, so the last request always keeps its place, and a share near 1 gives way to that.
    """
    # Not a secret: the seed is there to have the same replay again.
    chance = random.Random(seed)  # noqa: S311
    movable = range(max(0, len(requests) - 1))
    late = _part(shares.late, len(requests), len(movable))
    disordered = _part(shares.out_of_order, len(requests), len(movable) - late)
    moved = chance.sample(movable, late + disordered)
    arrivals = dict.fromkeys(moved[:late], Arrival.LATE) | dict.fromkeys(moved[late:], Arrival.OUT_OF_ORDER)

    steady = [index for index in range(len(requests)) if index not in arrivals]
    places: list[tuple[float, float, int]] = [(index, 0.0, index) for index in steady]
    for index, arrival in sorted(arrivals.items()):
        ahead = [place for place in steady if place > index]
        overtaken_by = chance.randint(*(LATE_BY if arrival is Arrival.LATE else OUT_OF_ORDER_BY))
        places.append((ahead[min(overtaken_by, len(ahead)) - 1], chance.uniform(0.1, 1), index))
    arranged = [Delivery(requests[index], arrivals.get(index, Arrival.IN_ORDER)) for *_, index in sorted(places)]
    return _repeat(arranged, shares.duplicates, chance)


def _repeat(arranged: list[Delivery], share: float, chance: random.Random) -> list[Delivery]:
    """Put a second posting behind some of them: half at once, half after a while."""
    chosen = chance.sample(range(len(arranged)), _part(share, len(arranged), len(arranged)))
    places = [(float(index), delivery) for index, delivery in enumerate(arranged)]
    for count, index in enumerate(chosen):
        behind = 0 if count % 2 else chance.randint(*REPEATED_AFTER)
        places.append((index + behind + 0.5, Delivery(arranged[index].request, Arrival.DUPLICATE)))
    return [delivery for _, delivery in sorted(places, key=lambda place: place[0])]


def _part(share: float, count: int, at_most: int) -> int:
    return max(0, min(round(share * count), at_most))
