"""What must hold before a desk starts. Everything that does not is one sentence, and the start ends there."""

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from opsdesk.embedded.addresses import Places
from opsdesk.embedded.folders import open_folder
from opsdesk.embedded.postgres import Postgres
from opsdesk.embedded.processes import CannotStart, clear, left_behind

LOCK, IDENTITY = "up.lock", "desk-id"
MEGABYTE = 1024 * 1024
FIRST_START_NEEDS, LATER_START_NEEDS = 400 * MEGABYTE, 100 * MEGABYTE


@contextlib.contextmanager
def sole_holder(var: Path) -> Iterator[None]:
    """Hold the desk's lock: one supervisor a folder. The kernel frees it however its holder ends."""
    open_folder(var)
    with (var / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise CannotStart(
                f"This desk is already running (process {holder}): use it, or stop it with `kill {holder}`."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@contextlib.contextmanager
def plain_words() -> Iterator[None]:
    """Turn what the machine refuses (no space, no right) into a sentence."""
    try:
        yield
    except OSError as refusal:
        if refusal.errno == errno.ENOSPC:
            raise CannotStart(f"There is no space left for {refusal.filename or 'the data of the desk'}.") from refusal
        if refusal.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise CannotStart(f"{refusal.filename} cannot be written by this account: {refusal.strerror}.") from refusal
        raise


def identify(places: Places) -> str | None:
    """Mark the folders of the desk as its own; returns a sentence when data of an earlier desk was put aside.

    A clone that was thrown away may have left data outside its folder. It is kept, under another name.
    """
    identity = places.var / IDENTITY
    if not identity.exists():
        identity.write_text(f"{uuid.uuid4().hex}\n")
    own, there = identity_of(places.var), identity_of(places.elsewhere)
    if not places.relocated:
        if there == own:
            raise CannotStart(
                f"This desk was started by root and its data lies in {places.elsewhere}: start it as root."
            )
        return None
    note = None
    if there not in (None, own):
        Postgres(places).clear_leftover()
        aside = places.elsewhere.with_name(f"{places.elsewhere.name}-{there}")
        places.elsewhere.rename(aside)
        note = f"the data of an earlier desk in this folder was put aside in {aside}"
    open_folder(places.elsewhere)
    (places.elsewhere / IDENTITY).write_text(f"{own}\nof the desk in {places.var}\n")
    return note


def identity_of(folder: Path) -> str | None:
    """Whose folder it is."""
    try:
        return (folder / IDENTITY).read_text().split("\n", 1)[0]
    except OSError:
        return None


def clear_leftovers(places: Places) -> list[str]:
    """Stop what a killed supervisor left running, the database last; returns the names. Needs the lock."""
    left = left_behind(places.var)
    last = {"valkey", "postgres"}
    clear([process for name, processes in left.items() if name not in last for process in processes])
    clear(left.get("valkey", []))
    clear(left.get("postgres", []), with_signal=signal.SIGINT, seconds=20)
    if Postgres(places).clear_leftover() and "postgres" not in left:
        return [*left, "postgres"]
    return list(left)


def ports_are_free(ports: Mapping[str, int]) -> None:
    """Raise CannotStart for the first port that somebody listens on; `ports` by the name of their setting."""
    for setting, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as refusal:
                in_use = refusal.errno == errno.EADDRINUSE
                trouble = "is in use" if in_use else f"cannot be opened ({refusal.strerror})"
                remedy = f"end what listens there, or set {setting}" if in_use else f"set {setting}"
                raise CannotStart(f"Port {port} {trouble}: {remedy} to another.") from refusal


def space_is_left(places: Places) -> None:
    """Raise CannotStart when the disk is too full to start on."""
    folder = next(part for part in (places.base, *places.base.parents) if part.exists())
    needed = LATER_START_NEEDS if places.postgres.exists() else FIRST_START_NEEDS
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CannotStart(
            f"{folder} has too little space left: {free // MEGABYTE} MB, a start needs {needed // MEGABYTE} MB."
        )
