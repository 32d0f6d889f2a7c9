"""The drill of a backup: written under load, put back by its command while the gateway moved on. Long test."""

import dataclasses
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from opsdesk.backup import manifest
from opsdesk.backup.manifest import DUMP, MANIFEST
from opsdesk.embedded.postgres import OWNER, Postgres
from tests.chaos import outcome
from tests.chaos.ordinary import FULL_REVIEW
from tests.chaos.people import Person
from tests.chaos.test_restore import _FOUND, _READ, ALL, EACH, LATER, REJECTED, WITHIN, Backup, as_root_of, recovering
from tests.chaos.whole_desk import WholeDesk

MORE = 80
SESSIONS = "SELECT count(*) FROM accounts_session"
pytestmark = pytest.mark.long


class Load(threading.Thread):
    """Requests that people have to look at, one after the other, while the backup is written."""

    def __init__(self, backup: Backup) -> None:
        super().__init__(daemon=True)
        self._backup, self._over = backup, threading.Event()
        self.asked = 0

    def run(self) -> None:
        first = ALL + LATER + REJECTED
        while self.asked < MORE and not self._over.wait(0.3):
            self._backup.ask(first + self.asked, articles=FULL_REVIEW)
            self.asked += 1

    def end(self) -> None:
        self._over.set()
        self.join(WITHIN)


def test_a_backup_under_load_is_put_back_and_nothing_is_done_twice(tmp_path: Path) -> None:
    with WholeDesk(tmp_path) as desk:
        backup = Backup(desk, tmp_path, more=MORE)
        backup.furnish()
        folder = written_under_load(backup, tmp_path)
        backup.go_on()
        assert desk.number(SESSIONS) > 0

        said = desk.run("manage.py", "restore", str(folder), "--on-trial", log=tmp_path / "trial.log")
        assert "The backup can be put back" in said
        assert_what_is_no_backup_is_refused(desk, folder, tmp_path)
        assert recovering(desk) == 0 and backup.refunded() == ALL

        assert desk.stop() == 0
        refused(desk, str(folder), words="Say --over", log=tmp_path / "refused.log")
        said = desk.run("manage.py", "restore", str(folder), "--over", log=tmp_path / "restore.log")
        assert "Every invariant holds." in said and "What was there before is the database opsdesk_before_" in said
        desk.start()

        assert recovering(desk) == 1 and desk.number(SESSIONS) == 0
        backup.let_time_pass()
        desk.wait_until(lambda: desk.number(_READ) == 1, "the gateway was not read", seconds=WITHIN)
        assert desk.rows(_FOUND) == [("lost_intent", "open", EACH), ("not_done_here", "recorded", EACH)]
        assert backup.refunded() == ALL

        admin = Person(desk.url, "tomasz")
        admin.sign_in()
        assert admin.sign_recovery("Read the report: all ten went out after the backup.") == 200
        backup.let_time_pass()
        desk.wait_until(lambda: backup.done() == ALL, "not every case was done", seconds=WITHIN)
        desk.come_to_rest(seconds=WITHIN)
        assert recovering(desk) == 0 and backup.refunded() == ALL
        assert outcome.assert_effects_fit(desk) == ALL
        outcome.assert_invariants_hold(desk, tmp_path)


def written_under_load(backup: Backup, into: Path) -> Path:
    """The backup, with requests before, during and after it."""
    desk, load = backup.desk, Load(backup)
    sealed = lambda: desk.number("SELECT count(*) FROM auditlog_seal") > 0  # noqa: E731
    desk.wait_until(sealed, "nothing was sealed", seconds=WITHIN)
    load.start()
    desk.wait_until(lambda: load.asked >= 5, "no load", seconds=WITHIN)
    said = desk.run("manage.py", "backup", "--to", str(into / "backups"), log=into / "backup.log")
    asked = load.asked
    load.end()
    (folder,) = (into / "backups").iterdir()
    rows = json.loads((folder / MANIFEST).read_text())["rows"]
    assert f"{folder}: {sum(rows.values())} rows" in said
    # A drill that compares nothing with nothing is none.
    assert asked > 5
    assert ALL + REJECTED <= rows["workflows_case"] <= ALL + REJECTED + asked
    assert rows["integrations_action"] > EACH and rows["auditlog_entry"] > ALL and rows["auditlog_seal"] > 0
    return folder


def assert_what_is_no_backup_is_refused(desk: WholeDesk, folder: Path, into: Path) -> None:
    """One byte of the dump that is another one, and well signed dumps of nothing: a drill must not pass on those."""
    damaged, hollow = into / "damaged", into / "hollow"
    for copy in (damaged, hollow):
        shutil.copytree(folder, copy)
    with (damaged / DUMP).open("r+b") as dump:
        dump.seek(dump.seek(0, os.SEEK_END) // 2)
        byte = dump.read(1)[0]
        dump.seek(-1, os.SEEK_CUR)
        dump.write(bytes([byte ^ 1]))
    refused(desk, str(damaged), "--on-trial", words="not the file that was written", log=into / "damaged.log")

    with as_root_of(desk) as server:
        server.execute("CREATE DATABASE empty_one")
    reach = ["--host", str(desk.places.sockets), "--username", OWNER, "--format", "custom"]
    programs = Postgres(desk.places).binaries()
    subprocess.run([str(programs / "pg_dump"), *reach, "--file", str(hollow / DUMP), "empty_one"], check=True)
    found = manifest.read(folder)
    empty = dataclasses.replace(found, files={DUMP: manifest.facts_of(hollow / DUMP)})
    manifest.write(hollow, empty)
    refused(desk, str(hollow), "--on-trial", words="rows came back", log=into / "hollow.log")
    manifest.write(hollow, dataclasses.replace(empty, rows=dict.fromkeys(found.rows, 0)))
    refused(desk, str(hollow), "--on-trial", words="The backup is empty", log=into / "empty.log")


def refused(desk: WholeDesk, *words_of_command: str, words: str, log: Path) -> None:
    process = desk.spawn("manage.py", "restore", *words_of_command, log=log)
    assert process.wait(WITHIN) == 1
    assert words in log.read_text()
