"""What all tests share. The servers of the session come from tests/plugins, which pyproject.toml names."""

import gc
import os
from types import SimpleNamespace
from typing import Any

import pytest

from tests.plugins.outside import find_chromium

pytest_plugins = [
    "tests.plugins.mixing",
    "tests.plugins.alone",
    "tests.plugins.migrated",
    "tests.plugins.emptying",
    "tests.plugins.sandbox",
    "tests.plugins.line",
    "tests.plugins.pages",
    "tests.plugins.calls",
    "tests.plugins.chatroom",
]

# Playwright's synchronous driver keeps an event loop in the thread in which Django works.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: Python need not search it for rubbish again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Drive the installed browser; nothing is downloaded."""
    return {**browser_type_launch_args, "executable_path": find_chromium(), "args": CHROMIUM_FLAGS}


@pytest.fixture(autouse=True)
def _no_endpoint_of_another_test() -> None:
    """The intake keeps endpoints in the process; those of a test end with it."""
    from integrations import hooks

    hooks.forget_endpoints()


@pytest.fixture(autouse=True)
def _pauses_that_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pause before another try is nearly a minute, which tests let pass by moving what is due.

    Full jitter now and then says “at once”; a busy machine then tries twice where a test counts one try.
    """
    from workflows.engine import failing

    monkeypatch.setattr(failing, "_FIRST_PAUSE", failing._LONGEST_PAUSE)
    monkeypatch.setattr(failing, "random", SimpleNamespace(random=lambda: 0.95))
