"""A paid order, somebody who listens to webhooks, and Stripe's own client as an independent judge."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import stripe

from tests.plugins.sandbox import Gateway, wait_until

SECRET = "whsec_c2FuZGJveC10ZXN0cw=="
PAYMENT = {
    "id": "pi_536365",
    "charge": "ch_536365",
    "amount": 10_000,
    "currency": "GBP",
    "created": "2011-03-01T09:30:00",
    "customer": "cus_17548",
    "metadata": {"order": "536365"},
}


class Listener:
    """Receives webhooks; answers with the statuses it was told, then with 200."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.statuses: list[int] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.heard.append((self.headers["Stripe-Signature"], body))
                self.send_response(listener.statuses.pop(0) if listener.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hooks/"

    def events(self) -> list[stripe.Event]:
        """What was heard, every signature checked by Stripe's own code."""
        return [stripe.Webhook.construct_event(body, header, SECRET) for header, body in self.heard]

    def kinds(self) -> list[str]:
        """The types heard, in the order of arrival."""
        return [event.type for event in self.events()]

    def wait_for(self, many: int, *, seconds: float = 10.0) -> list[stripe.Event]:
        """The events, as soon as there are so many."""
        wait_until(lambda: len(self.heard) >= many, seconds=seconds)
        return self.events()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


@pytest.fixture
def told(gateway: Gateway, listener: Listener) -> Gateway:
    """A gateway that sends its webhooks to the listener."""
    gateway.webhooks(url=listener.url, secret=SECRET)
    return gateway


@pytest.fixture
def paid(gateway: Gateway) -> Gateway:
    """A gateway with one order of 100.00 GBP, paid in 2011."""
    gateway.seed([PAYMENT])
    return gateway


@pytest.fixture
def client(gateway: Gateway) -> stripe.StripeClient:
    """Stripe's own client; it repeats nothing by itself, so that tests see every answer."""
    session = requests.Session()
    session.trust_env = False  # loopback never goes through a proxy
    return stripe.StripeClient(
        gateway.api_key,
        base_addresses={"api": gateway.url},
        http_client=stripe.RequestsClient(session=session),
        max_network_retries=0,
    )
