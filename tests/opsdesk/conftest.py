"""What several tests of the desk itself share: a healthy desk, and the scripted workflow of the engine's tests."""

import pytest

from tests.opsdesk.beats import see_everything
from tests.workflows.conftest import probe

__all__ = ["probe"]


@pytest.fixture
def healthy(db: None) -> None:
    """A desk that has been watched for a day and of which everything was seen just now."""
    see_everything()
