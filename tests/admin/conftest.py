"""The cast of the admin's tests: Tomasz configures Acme, Otto works there, Zoe configures another organization."""

import pytest
from django.test import Client

from accounts.roles import Role
from approvals.policies import publish_bands
from tests.definitions import PACK, make_member, make_organization, make_tiers
from workflows.publishing import publish_pack
from workflows.states import Tier


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


@pytest.fixture
def version(acme):
    make_tiers(acme)
    return publish_pack(acme, PACK, by=None, reason="First day")


@pytest.fixture
def rule_set(version):
    return version.workflow.rule_sets.get()


@pytest.fixture
def policy(acme, version):
    bands = [("0.00", Tier.INSTANT), ("25.00", Tier.FAST_TRACK), ("150.00", Tier.FULL_REVIEW)]
    return publish_bands(version.workflow, {"GBP": bands}, by=None, reason="First day")
