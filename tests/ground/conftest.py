"""Folders and servers for the tests of the ground."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsdesk.embedded import processes
from opsdesk.embedded.addresses import Places, places
from opsdesk.embedded.postgres import Postgres
from opsdesk.embedded.valkey import Valkey
from tests.plugins.servers import throw_away

Start = Callable[[Postgres | Valkey], processes.Process]


@pytest.fixture
def name() -> str:
    """What the data folder is called."""
    return "var"


@pytest.fixture
def var(tmp_path: Path, name: str) -> Iterator[Path]:
    """The data folder of a desk, in a folder that only its owner may enter; nothing of it stays."""
    folder = tmp_path / name
    folder.mkdir()
    yield folder
    throw_away(places(folder))


@pytest.fixture
def where(var: Path) -> Places:
    """The places of that desk."""
    return places(var)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server and wait until it answers; it is stopped after the test."""
    running: list[tuple[processes.Service, processes.Process]] = []

    def started(server: Postgres | Valkey) -> processes.Process:
        server.prepare()
        service = server.service()
        log = server.places.var / f"{service.name}.log"
        process = processes.launch(service, server.places.var, log=log)
        running.append((service, process))
        processes.wait_until_ready(service, process)
        return process

    yield started
    processes.stop(running)
