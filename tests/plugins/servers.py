"""The servers of a test session, started and stopped."""

import os
import shutil
from pathlib import Path

import psutil

from opsdesk.embedded import addresses, preflight, processes
from opsdesk.embedded.folders import open_folder
from opsdesk.embedded.postgres import Postgres
from opsdesk.embedded.valkey import Valkey

_running: list[tuple[processes.Service, processes.Process]] = []


def start() -> None:
    """Start what is not given by URL, in the folders of this session."""
    places = addresses.places()
    open_folder(places.var)
    preflight.identify(places)
    open_folder(places.var / "static")  # whitenoise complains about a folder that is not there
    if not os.environ.get("DATABASE_URL"):
        _start(Postgres(places, forgetful=True))
    if not (os.environ.get("REDIS_URL") and os.environ.get("BROKER_URL")):
        valkey = Valkey(places, forgetful=True)
        _start(valkey)
        os.environ["OPSDESK_TEST_SOCKET"] = str(valkey.address)


def _start(server: Postgres | Valkey) -> None:
    server.prepare()
    service, var = server.service(), server.places.var
    process = processes.launch(service, var, log=var / f"{service.name}.log")
    _running.append((service, process))
    processes.wait_until_ready(service, process)


def stop() -> None:
    """Stop them and throw away what they wrote."""
    processes.stop(_running)
    _running.clear()
    for places in _of_session(addresses.places()):
        throw_away(places)


def _of_session(places: addresses.Places) -> tuple[addresses.Places, addresses.Places]:
    """The folders of a session, and within them those of the cluster that is copied for whole desks."""
    return addresses.places(places.var / "migrated"), places


def clear_earlier_sessions(parent: Path, prefix: str) -> None:
    """Do that for sessions that were killed and could not."""
    for folder in parent.glob(f"{prefix}*"):
        owner = folder.name.removeprefix(prefix)
        gone = owner.isdigit() and (int(owner) == os.getpid() or not psutil.pid_exists(int(owner)))
        if gone and folder.stat().st_uid == os.geteuid():
            for places in _of_session(addresses.places(folder)):
                preflight.clear_leftovers(places)
                throw_away(places)


def throw_away(places: addresses.Places) -> None:
    """Remove the folders of a session."""
    for folder in (places.var, places.base, places.sockets):
        shutil.rmtree(folder, ignore_errors=True)
