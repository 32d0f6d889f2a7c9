"""What all tests share. The servers of the session come from tests/plugins, which pyproject.toml names."""

import os
from typing import Any

import pytest

from tests.plugins.outside import find_chromium

pytest_plugins = ["tests.plugins.sandbox"]

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


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Drive the installed browser; nothing is downloaded."""
    return {**browser_type_launch_args, "executable_path": find_chromium(), "args": CHROMIUM_FLAGS}
