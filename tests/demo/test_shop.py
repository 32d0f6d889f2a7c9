"""The shop's postings: real signatures, real retries, nothing lost."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import islice

import pytest
from standardwebhooks import Webhook

from opsdesk.demo.deliveries import Arrival, Delivery
from opsdesk.demo.records import Excerpt, Line, RefundRequest
from opsdesk.demo.replay import GENTLE_PAUSE, Summary, at_speed, gently, pending, play
from opsdesk.demo.shop import DeskUnreachable, Shop, event_of

SECRET = "whsec_b3BzZGVzay1kZW1vLXNob3Atc2VjcmV0LTEyMzQ="
REQUEST = RefundRequest(
    reference="C536391",
    customer="17548",
    order="536365",
    requested_at=datetime(2026, 7, 1, 9, 5, tzinfo=UTC),
    amount_minor=14148,
    reason="returned",
    lines=(Line("22556", "PLASTERS IN TIN CIRCUS PARADE", 12, 165),),
)


@dataclass
class Desk:
    """A desk that answers what it is told to, in turn, and keeps what it was sent."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def desk() -> Iterator[Desk]:
    told = Desk()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.received.append((dict(self.headers.items()), body))
            status = told.answers.pop(0) if told.answers else 202
            if status == 0:
                self.connection.close()
                return
            self.send_response(status)
            self.send_header("Retry-After", "3")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    told.url = f"http://127.0.0.1:{server.server_port}/hooks/wholesale-uk/shop/"
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def shop(desk: Desk, pauses: list[float]) -> Shop:
    return Shop(desk.url, SECRET, sleep=pauses.append)


def test_a_posting_carries_a_signature_that_the_standard_accepts(desk: Desk, shop: Shop) -> None:
    answer = shop.deliver(REQUEST)

    headers, body = desk.received[0]
    assert answer.taken
    assert Webhook(SECRET).verify(body, headers)["data"]["reference"] == "C536391"
    assert headers["webhook-id"] == "msg_C536391"


def test_the_event_says_what_the_shop_knows() -> None:
    assert json.loads(event_of(REQUEST)) == {
        "type": "refund.requested",
        "timestamp": "2026-07-01T09:05:00Z",
        "data": {
            "reference": "C536391",
            "order": "536365",
            "payment": "pi_536365",
            "customer": "17548",
            "amount": "141.48",
            "currency": "GBP",
            "reason": "returned",
            "requested_at": "2026-07-01T09:05:00Z",
            "requested_by": "shop form",
            "lines": [
                {
                    "sku": "22556",
                    "description": "PLASTERS IN TIN CIRCUS PARADE",
                    "quantity": 12,
                    "unit_price": "1.65",
                }
            ],
        },
    }


def test_every_request_of_the_excerpt_makes_an_event_below_the_limit() -> None:
    events = [event_of(request) for request in Excerpt.read(0).requests]

    assert max(map(len, events)) < 256_000
    assert all(json.loads(event)["data"]["lines"] for event in events)


def test_an_unwilling_desk_is_asked_again_with_the_same_message(desk: Desk, shop: Shop, pauses: list[float]) -> None:
    desk.answers = [503, 429, 0, 202]

    answer = shop.deliver(REQUEST)

    assert (answer.status, answer.retries) == (202, 3)
    assert len({(headers["webhook-id"], body) for headers, body in desk.received}) == 1
    assert pauses[:2] == [3.0, 3.0]


def test_a_refusal_is_final(desk: Desk, shop: Shop, pauses: list[float]) -> None:
    desk.answers = [401]

    answer = shop.deliver(REQUEST)

    assert (answer.status, answer.taken, answer.retries, pauses) == (401, False, 0, [])


def test_a_desk_that_stays_away_ends_the_replay_with_a_reason(pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shop = Shop(f"http://127.0.0.1:{port}/hooks/", SECRET, patience=60, sleep=pauses.append)

    with pytest.raises(DeskUnreachable, match="refused"):
        shop.deliver(REQUEST)

    assert pauses[0] < 1 < max(pauses) <= 10
    assert sum(pauses) <= 60


def test_the_summary_tells_what_became_of_each(desk: Desk, shop: Shop) -> None:
    desk.answers = [202, 503, 200, 401]
    deliveries = [Delivery(REQUEST, Arrival.IN_ORDER), Delivery(REQUEST, Arrival.DUPLICATE)]
    summary = Summary()

    play([*deliveries, deliveries[0]], shop, at_speed(None), summary)

    assert str(summary).splitlines() == [
        "sent 3, accepted 1, duplicates 1, refused 1, retried 1",
        "  refused C536391: 401 ",
    ]


def test_the_pace_is_kept_between_deliveries(desk: Desk, shop: Shop) -> None:
    slept: list[float] = []

    play([Delivery(REQUEST, Arrival.IN_ORDER)] * 3, shop, at_speed(0.5), Summary(), sleep=slept.append)

    assert len(slept) == 2
    assert 1 < slept[0] <= 2


def test_a_gentle_replay_shows_something_in_twenty_seconds_and_then_takes_its_time() -> None:
    pauses = list(islice(gently(), 30))

    assert sum(pauses[:25]) == pytest.approx(20)
    assert pauses[25:] == [GENTLE_PAUSE] * 5


def test_a_restarted_replay_goes_on_with_what_has_not_arrived() -> None:
    requests = Excerpt.read(0).requests
    arrived = {request.reference for request in requests[:100]} | {requests[102].reference}

    left = pending(requests, arrived, 3)

    assert left == [requests[100], requests[101], requests[103]]
    assert pending(requests, {request.reference for request in requests}, None) == []
