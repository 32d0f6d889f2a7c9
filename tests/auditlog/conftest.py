"""What tests of the log share: an organization, and a place outside for the heads."""

import pytest

from accounts.models import Organization
from tests import factories


@pytest.fixture
def organization(db) -> Organization:
    return factories.make_organization()


@pytest.fixture
def heads_outside(settings, tmp_path) -> None:
    """Heads are handed to a file of this test's own."""
    settings.HEADS = {"file": str(tmp_path / "heads.jsonl")}
