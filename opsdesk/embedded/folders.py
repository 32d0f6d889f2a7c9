"""Folders of the desk, with the owner and the mode they must have."""

import contextlib
import os
import stat
from pathlib import Path

from opsdesk.embedded.addresses import Places, server_account
from opsdesk.embedded.processes import CannotStart


def private_folder(folder: Path, *, owner: int) -> None:
    """Make a folder that only `owner` may enter; refuse one that somebody else already put there."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, -1)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != owner:
        raise CannotStart(f"{folder} belongs to another account: start the desk as the one that made it, or remove it.")


def sockets_folder(places: Places) -> None:
    """Make the folder of the sockets, for whichever server comes first; the database's account owns it."""
    open_folder(places.base)
    account = server_account()
    private_folder(places.sockets, owner=account.pw_uid if account else os.geteuid())


def open_folder(folder: Path) -> None:
    """Make a folder of ours that everybody may pass through, whatever the umask says."""
    umask = os.umask(0o022)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    finally:
        os.umask(umask)
