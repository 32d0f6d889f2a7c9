"""Tests that judge what the whole machine does: while one of them runs, the other processes of the session wait."""

import fcntl
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from opsdesk.embedded.addresses import places
from tests.plugins.embedded import is_worker


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Have others run beside it, or none where it is marked `alone`."""
    if not is_worker():
        return (yield)
    with _turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def _turn(*, alone: bool) -> Iterator[None]:
    folder = places().var
    with (folder / "machine.lock").open("w") as machine, (folder / "gate.lock").open("w") as gate:
        # Whoever wants to be alone keeps the gate shut until those under way have ended.
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
