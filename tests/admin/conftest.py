"""The cast of the admin's tests: Tomasz configures Acme, Otto works there, Zoe configures another organization."""

import pytest
from django.test import Client

from accounts.roles import Role
from tests.definitions import make_member, make_organization


@pytest.fixture
def acme(db):
    return make_organization("acme")


@pytest.fixture
def other(db):
    return make_organization("other")


@pytest.fixture
def tomasz(acme):
    return make_member(acme, "tomasz", Role.ADMIN, is_staff=True)


@pytest.fixture
def otto(acme):
    return make_member(acme, "otto", Role.OPERATOR)


@pytest.fixture
def zoe(other):
    return make_member(other, "zoe", Role.ADMIN, is_staff=True)


@pytest.fixture
def desk(tomasz):
    """Tomasz's browser."""
    return signed_in(tomasz)


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client
