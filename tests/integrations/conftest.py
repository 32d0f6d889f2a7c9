"""An organization that a shop and a gateway send webhooks to, and a connection to whatever a test starts."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts.models import Organization
from integrations.models import Connection, Endpoint
from integrations.secrets import encrypt
from opsdesk.lib import queue
from tests.factories import make_connection, make_organization
from tests.integrations.scripted import ScriptedServer
from tests.integrations.senders import SHOP_SECRET, STRIPE_SECRET, Sender

API_KEY = "sk_test_of_the_tests"


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the workers were rung for; no broker is needed here."""
    heard: list[str] = []
    monkeypatch.setattr(queue, "ring", heard.append)
    return heard


@pytest.fixture
def wholesale(db: None) -> Organization:
    return make_organization()


@pytest.fixture
def shop_endpoint(wholesale: Organization) -> Endpoint:
    """Where the shop sends: Standard Webhooks."""
    connection = Connection.objects.create(organization=wholesale, slug="shop", name="Shop", connector="shop")
    return Endpoint.objects.create(
        organization=wholesale,
        connection=connection,
        slug="shop",
        scheme=Endpoint.Scheme.STANDARD,
        secret=encrypt(SHOP_SECRET),
    )


@pytest.fixture
def gateway_endpoint(wholesale: Organization) -> Endpoint:
    """Where the gateway sends: Stripe-Signature."""
    endpoint = make_connection(wholesale).endpoints.get()
    endpoint.secret = encrypt(STRIPE_SECRET)
    endpoint.save()
    return endpoint


@pytest.fixture
def shop(shop_endpoint: Endpoint) -> Sender:
    return Sender("/hooks/wholesale-uk/shop/")


@pytest.fixture
def stripe_sender(gateway_endpoint: Endpoint) -> Sender:
    return Sender("/hooks/wholesale-uk/gateway/")


@pytest.fixture
def connect(settings: Any) -> Callable[[str], Connection]:
    """A connection, stored nowhere, to an address of this machine that is let through as an exception."""

    def make(base_url: str, *, secret: str = API_KEY) -> Connection:
        settings.OUTBOUND_EXCEPTIONS = [*settings.OUTBOUND_EXCEPTIONS, base_url.partition("://")[2]]
        return Connection(pk=1, name="Gateway", connector="stripe", base_url=base_url, secret=encrypt(secret))

    return make


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that plays what a test writes."""
    server = ScriptedServer()
    yield server
    server.close()
