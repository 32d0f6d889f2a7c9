"""The plan of deliveries: shares exact, the same for the same seed, nothing lost."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsdesk.demo.deliveries import Arrival, Delivery, Shares, plan
from opsdesk.demo.records import RefundRequest


def _requests(count: int) -> list[RefundRequest]:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return [RefundRequest(f"C{number:06}", "17548", None, moment, 100, "returned", ()) for number in range(count)]


def _count(deliveries: list[Delivery], arrival: Arrival) -> int:
    return sum(delivery.arrival is arrival for delivery in deliveries)


def test_the_shares_are_exact() -> None:
    deliveries = plan(_requests(500), Shares(duplicates=0.2, late=0.05, out_of_order=0.1), seed=7)

    assert len(deliveries) == 600
    assert _count(deliveries, Arrival.DUPLICATE) == 100
    assert _count(deliveries, Arrival.LATE) == 25
    assert _count(deliveries, Arrival.OUT_OF_ORDER) == 50


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    requests = _requests(200)

    assert plan(requests, Shares(), seed=7) == plan(requests, Shares(), seed=7)
    assert plan(requests, Shares(), seed=7) != plan(requests, Shares(), seed=8)


def test_without_shares_the_requests_come_as_they_are() -> None:
    requests = _requests(50)

    deliveries = plan(requests, Shares(0, 0, 0), seed=7)

    assert deliveries == [Delivery(request, Arrival.IN_ORDER) for request in requests]


@given(
    count=st.integers(0, 120),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5)),
    seed=st.integers(0, 2**32),
)
def test_every_request_is_delivered_and_the_odd_arrivals_are_what_they_say(
    count: int, shares: tuple[float, float, float], seed: int
) -> None:
    requests = _requests(count)

    deliveries = plan(requests, Shares(*shares), seed=seed)

    firsts = [d.request.reference for d in deliveries if d.arrival is not Arrival.DUPLICATE]
    assert sorted(firsts) == [request.reference for request in requests]
    seen: list[str] = []
    for delivery in deliveries:
        reference = delivery.request.reference
        if delivery.arrival is Arrival.DUPLICATE:
            assert reference in seen
        elif delivery.arrival is not Arrival.IN_ORDER:
            assert any(other > reference for other in seen)
        seen.append(reference)
    assert _count(deliveries, Arrival.DUPLICATE) == round(shares[0] * count)


@pytest.mark.parametrize("shares", [(1.1, 0, 0), (-0.1, 0, 0), (0, 0.6, 0.6)])
def test_impossible_shares_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1|cannot be more"):
        Shares(*shares)
