"""The identity provider of the session, and the desk set up for it."""

import pytest

from integrations.oidc import wire
from tests.accounts.provider import make_group_role, running

CLIENT = {"client_id": "the-desk", "client_secret": "s3cret", "name": "the staff register"}


@pytest.fixture(scope="session")
def _register():
    with running() as found:
        yield found


@pytest.fixture
def provider(_register, settings):
    """A real provider that the desk is set up for."""
    settings.OUTBOUND_EXCEPTIONS = [f"127.0.0.1:{_register.port}"]
    settings.IDENTITY_PROVIDER = {**settings.IDENTITY_PROVIDER, **CLIENT, "issuer": _register.url}
    wire.kept.forget()
    yield _register
    wire.kept.forget()


@pytest.fixture
def mapped(organization):
    """Two groups of the provider have a role in the organization."""
    make_group_role(organization, "desk-managers", "manager", position=1)
    return make_group_role(organization, "desk-operators", "operator", position=2)
