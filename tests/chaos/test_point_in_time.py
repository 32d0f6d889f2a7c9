"""A server of one's own, put back to a moment from its archive as docs/restore.md says. Long test."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from opsdesk.embedded.addresses import ROOT, places, server_account
from opsdesk.embedded.postgres import Postgres
from opsdesk.embedded.processes import as_account
from tests.plugins.desk import NOT_FOR_IT

pytestmark = pytest.mark.long
WITHIN = 300


class Server:
    """A cluster in a folder of its own, with the settings that the page names."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self._account = account = server_account()
        self._identity = as_account((account.pw_uid, account.pw_gid) if account else None)
        self._programs = Postgres(places()).binaries()
        self.url = f"postgresql://opsdesk@/opsdesk?host={quote(str(folder / 'run'), safe='')}"

    def program(self, name: str, *words: str) -> str:
        """Run one of PostgreSQL's programs as the server's account."""
        ran = subprocess.run(
            [str(self._programs / name), *words], capture_output=True, text=True, cwd="/", check=False,
            timeout=WITHIN, **self._identity,
        )  # fmt: skip
        assert ran.returncode == 0, f"{name}: {ran.stderr}"
        return ran.stdout

    def own(self, folder: Path) -> None:
        """Give a folder and everything in it to the server's account."""
        if self._account:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def start(self) -> None:
        # Without a pipe: the server would keep it open.
        subprocess.run(
            [str(self._programs / "pg_ctl"), "-D", str(self.data), "-l", str(self.folder / "log"), "-w", "start"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", check=True, timeout=WITHIN, **self._identity,
        )  # fmt: skip

    def configure(self, text: str) -> None:
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(text)

    def ask(self, statement: str) -> Any:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as session:
            found = session.execute(statement.encode()).fetchone()
        return found[0] if found else None


@contextmanager
def server_of_ones_own() -> Iterator[Server]:
    # Not below pytest's folders: the account of the server cannot enter those.
    with tempfile.TemporaryDirectory(prefix="opsdesk-archive-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for part in ("archive", "run"):
            (folder / part).mkdir()
        server = Server(folder)
        server.own(folder)
        server.program("initdb", "-D", str(server.data), "-U", "opsdesk", "-A", "trust", "--no-sync")
        server.configure(f"listen_addresses = ''\nunix_socket_directories = '{folder / 'run'}'\n")
        server.configure(said("archive_mode", folder))
        try:
            server.start()
            yield server
        finally:
            subprocess.run(
                [str(server._programs / "pg_ctl"), "-D", str(server.data), "-m", "immediate", "stop"], check=False,
                capture_output=True, cwd="/", **server._identity,
            )  # fmt: skip


def said(setting: str, folder: Path) -> str:
    """The block of the page that begins with a setting, for this folder."""
    page = (ROOT / "docs" / "restore.md").read_text()
    (block,) = [part for part in page.split("```")[1::2] if part.startswith(f"\n{setting}")]
    return block.replace("/mnt/archive", str(folder / "archive"))


def manage(server: Server, var: Path, *words: str, well: bool = True) -> str:
    """One command of a desk on this server; there is no broker, about which some have a lot to say."""
    given = {name: value for name, value in os.environ.items() if name not in NOT_FOR_IT}
    ran = subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=WITHIN,
        env={**given, "DATABASE_URL": server.url, "OPSDESK_VAR": str(var)},
    )  # fmt: skip
    assert ran.returncode == 0 or not well, f"{words}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def test_a_desk_goes_back_to_a_moment_and_recovers(tmp_path: Path) -> None:
    with server_of_ones_own() as server:
        with psycopg.connect(server.url.replace("/opsdesk?", "/postgres?"), autocommit=True) as session:
            session.execute("CREATE DATABASE opsdesk TEMPLATE template0 ENCODING 'UTF8'")
        manage(server, tmp_path, "prepare")
        base = server.folder / "archive" / "base"
        reach = ("--host", str(server.folder / "run"), "--username", "opsdesk")
        server.program("pg_basebackup", "--pgdata", str(base), "--checkpoint", "fast", *reach)
        server.program("pg_verifybackup", str(base))
        # Into the archive goes what came after the base backup and before the moment, and then what must not come back.
        server.ask("UPDATE accounts_organization SET name = 'Before the moment' RETURNING 1")
        time.sleep(1)
        moment = server.ask("SELECT now()::text")
        time.sleep(1)
        server.ask("UPDATE accounts_organization SET name = 'After it' RETURNING 1")
        assert "is the one it was" in manage(server, tmp_path, "recovery", "look")
        last = server.ask("SELECT pg_walfile_name(pg_switch_wal())")
        end = time.monotonic() + WITHIN
        while (server.ask("SELECT last_archived_wal FROM pg_stat_archiver") or "") < last:
            assert time.monotonic() < end, "nothing was archived"
            time.sleep(0.2)
        assert "The database archives its journal." in manage(server, tmp_path, "doctor", well=False)

        server.program("pg_ctl", "-D", str(server.data), "-m", "immediate", "stop")
        server.data.rename(server.folder / "lost")
        shutil.copytree(base, server.data)
        settings = said("restore_command", server.folder)
        server.configure(re.sub(r"(recovery_target_time = )'[^']*'", rf"\1'{moment}'", settings))
        (server.data / "recovery.signal").touch()
        server.own(server.data)
        server.start()
        while server.ask("SELECT pg_is_in_recovery()"):
            assert time.monotonic() < end, "it did not come to the moment"
            time.sleep(0.2)

        assert server.ask("SELECT name FROM accounts_organization") == "Before the moment"
        assert "The database was put back" in manage(server, tmp_path, "prepare")
        assert "0 of 1 signed" in manage(server, tmp_path, "recovery", "status")
