"""Where the embedded servers live and are reached: paths only, nothing is created here.

PostgreSQL refuses to run as root, so root's desk runs it as `nobody`. Where `nobody` cannot reach the desk's
own folder (a 0700 home), the files of PostgreSQL and the sockets stand under `/var/lib/opsdesk` instead.
"""

import functools
import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = Path("/var/lib/opsdesk")
# The kernel keeps a socket's path in 108 bytes on Linux and in 104 on macOS, the closing zero included.
SOCKET_PATH_BYTES = 103
POSTGRES_SOCKET = ".s.PGSQL.5432"
VALKEY_SOCKET = "valkey.sock"
# Roles of the embedded database: one owns the tables and migrates them, the other is that of the desk's processes.
OWNER, DESK = "opsdesk", "opsdesk_desk"
AS_OWNER = "OPSDESK_AS_OWNER"


@dataclass(frozen=True)
class Places:
    """The folders of one desk. `relocated`: PostgreSQL's files and the sockets stand in `elsewhere`."""

    var: Path
    elsewhere: Path
    relocated: bool
    sockets: Path

    @property
    def base(self) -> Path:
        """The folder that the database's account can reach."""
        return self.elsewhere if self.relocated else self.var

    @property
    def postgres(self) -> Path:
        """PostgreSQL's files."""
        return self.base / "postgres"

    @property
    def valkey(self) -> Path:
        """The append-only file of the Redis-compatible server."""
        return self.var / "valkey"


def var_folder() -> Path:
    """The folder in which this desk keeps everything it writes."""
    return Path(os.environ.get("OPSDESK_VAR") or ROOT / "var").resolve()


def server_account() -> pwd.struct_passwd | None:
    """Whom the database runs as when it may not run as us; None for an ordinary user."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def places(var: Path | None = None) -> Places:
    """The folders of the desk whose data folder is `var` (by default the one of this process)."""
    return _places(var or var_folder(), os.geteuid())


@functools.lru_cache(maxsize=8)
def _places(var: Path, uid: int) -> Places:
    name = hashlib.sha256(os.fsencode(var)).hexdigest()[:12]
    elsewhere, account = ELSEWHERE / name, server_account()
    too_long = len(os.fsencode(var / "run" / POSTGRES_SOCKET)) > SOCKET_PATH_BYTES
    if account is not None:
        # A desk that once moved stays there, whatever becomes of the modes of the folders above it.
        moved = too_long or (elsewhere / "postgres").exists() or not reachable(var, account)
        return Places(var, elsewhere, relocated=moved, sockets=(elsewhere if moved else var) / "run")
    # A fixed folder, not TMPDIR: every process of the desk must come to the same answer.
    sockets = Path("/tmp") / f"opsdesk-{uid}-{name}" if too_long else var / "run"  # noqa: S108
    return Places(var, elsewhere, relocated=False, sockets=sockets)


def reachable(path: Path, account: pwd.struct_passwd) -> bool:
    """Whether the account may pass through every folder down to `path`, as far as they exist."""
    return all(_may_pass(folder, account) for folder in (path, *path.parents) if folder.exists())


def _may_pass(path: Path, account: pwd.struct_passwd) -> bool:
    facts = path.stat()
    if facts.st_uid == account.pw_uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    if facts.st_gid == account.pw_gid:
        return bool(facts.st_mode & stat.S_IXGRP)
    return bool(facts.st_mode & stat.S_IXOTH)


def database_url(*, owner: bool = False) -> str:
    """The embedded database, for libpq: as the role of the desk's processes, or as the one that owns the tables."""
    return f"postgresql://{OWNER if owner else DESK}@/opsdesk?host={quote(str(places().sockets), safe='')}"


def redis_url() -> str:
    """The embedded Redis-compatible server, for rq and the cache."""
    return f"unix://{quote(str(places().sockets / VALKEY_SOCKET))}?db=0"


def broker_url() -> str:
    """The embedded Redis-compatible server as Celery spells it."""
    return f"redis+socket://{quote(str(places().sockets / VALKEY_SOCKET))}?virtual_host=1"
