"""One private PostgreSQL and one Redis-compatible server for the whole test session.

They are started by the first process (the controller, with xdist) in a folder of their own and thrown away
after. Servers given by DATABASE_URL, REDIS_URL and BROKER_URL are used as they are. pytest-django makes a
database for each worker (migrated.py says of what); here each worker gets its own numbers on the Redis side.
"""

import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

PREFIX = "opsdesk-tests-"


def is_worker() -> bool:
    """Whether this process is one of several that share the session's servers."""
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """Choose the addresses before pytest-django reads the settings, which is before any conftest.py.

    Nothing of the project is imported up to here: its package reads the settings.
    """
    if not is_worker():
        os.environ["OPSDESK_VAR"] = str(Path(tempfile.gettempdir()) / f"{PREFIX}{os.getpid()}")
        os.environ["OPSDESK_TEST_TEMPLATE"] = f"test_opsdesk_template_{os.getpid()}"
    os.environ.setdefault("OPSDESK_PLAIN_STATIC", "1")
    os.environ.setdefault("OPSDESK_AS_OWNER", "1")  # who makes the databases of the tests
    if is_worker():
        _take_own_numbers(int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")))
    return (yield)


def _take_own_numbers(worker: int) -> None:
    """Take two of the databases of the Redis-compatible server, unless it was given by URL."""
    socket = os.environ.get("OPSDESK_TEST_SOCKET")
    if socket:
        os.environ.setdefault("REDIS_URL", f"unix://{socket}?db={2 + 2 * worker}")
        os.environ.setdefault("BROKER_URL", f"redis+socket://{socket}?virtual_host={3 + 2 * worker}")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start what is not given by URL. Workers find it running."""
    if not is_worker() and not session.config.option.collectonly:
        from tests.plugins import servers

        servers.clear_earlier_sessions(Path(tempfile.gettempdir()), PREFIX)
        servers.start()


def pytest_unconfigure() -> None:
    """Stop the servers and remove everything they wrote."""
    if not is_worker():
        from tests.plugins import migrated, servers

        migrated.drop_template()
        servers.stop()
