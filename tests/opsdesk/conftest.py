"""The desk that the pages of the project are shown."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Organization, User
from tests import factories
from tests.factories import Cast


@pytest.fixture
def desk(db) -> tuple[Organization, Cast]:
    return factories.make_desk()


@pytest.fixture
def organization(desk) -> Organization:
    return desk[0]


@pytest.fixture
def cast(desk) -> Cast:
    return desk[1]


@pytest.fixture
def sign_in(client: Client) -> Callable[[User], Client]:
    """The test client, signed in as somebody."""

    def enter(user: User) -> Client:
        client.force_login(user)
        return client

    return enter
