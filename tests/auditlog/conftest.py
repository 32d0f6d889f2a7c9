"""What tests of the log share: a place outside for the heads."""

import pytest


@pytest.fixture
def heads_outside(settings, tmp_path) -> None:
    """Heads are handed to a file of this test's own."""
    settings.HEADS = {"file": str(tmp_path / "heads.jsonl")}
