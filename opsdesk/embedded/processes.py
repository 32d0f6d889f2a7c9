"""One process of the desk: how it is started, how it is stopped, and how what is left of it is found."""

import contextlib
import enum
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

# Every process of a desk carries these two, so that a later start finds what a killed supervisor left behind.
DESK_MARK, SERVICE_MARK = "OPSDESK_DESK_FOLDER", "OPSDESK_DESK_SERVICE"


class CannotStart(Exception):
    """Why the desk does not start, in one sentence for the person at the terminal."""


class Runs(enum.Enum):
    """What it means when a process ends by itself."""

    ALWAYS = "it is started again"
    UNTIL_DONE = "it is started again unless it ended well"
    ONCE = "what comes after it waits for its end, and a bad end stops the start"


@dataclass(frozen=True)
class Service:
    """A command of the desk. `ready` is asked until it says yes; what comes after waits for it."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool] | None = None
    runs: Runs = Runs.ALWAYS
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    ready_seconds: float = 60.0
    account: tuple[int, int] | None = None
    folder: Path | None = None


Process = subprocess.Popen[bytes]


def as_account(account: tuple[int, int] | None) -> dict[str, Any]:
    """Arguments of subprocess that run a command as this user and group, without any other group."""
    return {} if account is None else {"user": account[0], "group": account[1], "extra_groups": []}


def launch(service: Service, desk: Path, *, log: Path | None = None) -> Process:
    """Start the service in a session of its own, marked as the desk's; its output goes to a pipe or a file."""
    marks = {DESK_MARK: str(desk), SERVICE_MARK: service.name, "PYTHONUNBUFFERED": "1"}
    with log.open("ab") if log else contextlib.nullcontext(subprocess.PIPE) as output:
        return subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=service.folder,
            env={**os.environ, **marks},
            **as_account(service.account),
        )


def wait_until_ready(service: Service, process: Process, *, given_up: Callable[[], bool] = lambda: False) -> None:
    """Wait for its readiness, or for the good end of one that runs once. Raises CannotStart."""
    began = time.monotonic()
    while not given_up():
        code = process.poll()
        if code == 0 and service.runs is Runs.ONCE:
            return
        if code is not None and (service.ready or service.runs is Runs.ONCE):
            raise CannotStart(f"{service.name} did not start, it ended with {ending(code)}")
        if service.runs is not Runs.ONCE and (service.ready is None or service.ready()):
            return
        if time.monotonic() - began > service.ready_seconds:
            raise CannotStart(f"{service.name} was not ready after {service.ready_seconds:.0f} s")
        time.sleep(0.1)


def ending(code: int) -> str:
    """How a process ended, in words."""
    return f"signal {-code}" if code < 0 else f"status {code}"


def kill_session(leader: int) -> None:
    """Kill everything that still belongs to the session a service was started in."""
    for _ in range(3):  # a process may fork while we look
        members = [pid for pid in psutil.pids() if _session(pid) == leader]
        if not members:
            return
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def stop(running: Iterable[tuple[Service, Process]], *, hurry: Callable[[], bool] = lambda: False) -> list[str]:
    """Ask all to end, wait, and kill what did not; returns the names of those that had to be killed."""
    stopping = list(running)
    for service, process in stopping:
        # Only the leader is told: it winds its own children down.
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(service.stop_signal)
    began = time.monotonic()
    killed = []
    for service, process in stopping:
        while process.poll() is None and time.monotonic() - began < service.stop_seconds and not hurry():
            time.sleep(0.02)
        if process.poll() is None:
            killed.append(service.name)
        kill_session(process.pid)
        process.wait()
    return killed


def left_behind(desk: Path) -> dict[str, list[psutil.Process]]:
    """The processes that carry this desk's mark, by service. Meant for one who holds the desk's lock."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            marks = process.environ()
            if marks.get(DESK_MARK) == str(desk) and process.pid != os.getpid():
                found.setdefault(marks.get(SERVICE_MARK, "?"), []).append(process)
    return found


def clear(left: list[psutil.Process], *, with_signal: signal.Signals = signal.SIGTERM, seconds: float = 8.0) -> None:
    """Stop processes that are not our children: politely from the topmost down, then all that remain."""
    told: set[int] = set()
    end = time.monotonic() + seconds
    while (living := [process for process in left if alive(process)]) and time.monotonic() < end:
        pids = {process.pid for process in living}
        for process in living:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.pid not in told and process.ppid() not in pids:
                    process.send_signal(with_signal)
                    told.add(process.pid)
        time.sleep(0.03)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    end = time.monotonic() + 5
    while any(map(alive, left)) and time.monotonic() < end:
        time.sleep(0.03)


def alive(process: psutil.Process) -> bool:
    """A zombie is not: where nobody collects orphans (a container's first process) it stays in the list."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
