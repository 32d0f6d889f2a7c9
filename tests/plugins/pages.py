"""What tests of pages share: a desk with its people, signing in, asking as htmx does, and counting statements."""

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Organization, User
from tests import factories
from tests.factories import Cast

HTMX = {"HX-Request": "true"}
MOST_STATEMENTS = 12


@pytest.fixture(autouse=True)
def _no_zone_of_another_test() -> None:
    """A page shows times in its reader's zone, and the zone stays with the thread."""
    timezone.deactivate()


@pytest.fixture
def desk(db: None) -> tuple[Organization, Cast]:
    """An organization with everything a refund needs, and its people."""
    return factories.make_desk()


@pytest.fixture
def organization(desk: tuple[Organization, Cast]) -> Organization:
    return desk[0]


@pytest.fixture
def cast(desk: tuple[Organization, Cast]) -> Cast:
    return desk[1]


@pytest.fixture
def sign_in(client: Client) -> Callable[[User], Client]:
    """The test client, signed in as somebody."""

    def enter(user: User) -> Client:
        client.force_login(user)
        return client

    return enter


def text_of(response: HttpResponse) -> str:
    """The page as it is read: no tags, every run of space one space."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", response.content.decode())).split())


@contextmanager
def statements() -> Iterator[CaptureQueriesContext]:
    """Count what is asked of the database; `len()` of it is the number."""
    with CaptureQueriesContext(connection) as captured:
        yield captured


def cost(client: Client, address: str, **options: object) -> int:
    """How many statements one visit takes, sign-in and navigation included."""
    client.get(address, **options)
    with statements() as asked:
        response = client.get(address, **options)
    assert response.status_code == 200
    return len(asked)
