"""The scripted workflow of the engine's tests, for tests of what the desk says about it."""

from tests.workflows.conftest import probe

__all__ = ["probe"]
