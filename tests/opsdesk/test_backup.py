"""Backups: what is written, what is refused, and a restored database that recovers and has erased again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from auditlog.models import Seal
from auditlog.services import Actor, record
from opsdesk.backup import manifest, programs, restoring, writing
from opsdesk.backup.manifest import DUMP, MANIFEST, Manifest, NotUsable
from opsdesk.erasure import marks
from opsdesk.lib import clock
from opsdesk.models import Backup
from tests.auditlog.sealed import close
from tests.factories import make_case, make_desk, make_run
from workflows.models import Case
from workflows.states import CaseState

ROWS = {"accounts_organization": 1, "accounts_user": 6, "auditlog_entry": 3}


@pytest.fixture(autouse=True)
def _files_of_its_own(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    settings.HEADS = {**settings.HEADS, "file": str(tmp_path / "heads.jsonl")}


def small_backup(folder: Path, **facts: Any) -> Path:
    """A folder as a backup has it, around a dump that no program wrote."""
    folder.mkdir()
    (folder / DUMP).write_bytes(b"PGDMP and more")
    files = {DUMP: manifest.facts_of(folder / DUMP)}
    said: dict[str, Any] = {"rows": ROWS, "migrations": {}, "seal": {}, "tide": {}, "files": files}
    manifest.write(folder, Manifest(**said | {"made_at": clock.now(), "release": "0.1.0", "postgres": "18.6"} | facts))
    return folder


def refused(folder: Path, **options: bool) -> str:
    with pytest.raises(NotUsable) as refusal:
        restoring.check(folder, **options)
    return str(refusal.value)


def change(folder: Path, **facts: object) -> None:
    """Write something else into a manifest, as a text editor does."""
    there = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(there | facts))


def test_a_backup_is_refused_unless_it_is_the_one_that_was_written(tmp_path, settings):
    whole = small_backup(tmp_path / "whole")
    assert restoring.check(whole).rows == ROWS

    shutil.copytree(whole, tmp_path / "cut")
    (tmp_path / "cut" / DUMP).write_bytes(b"PGDMP and")
    assert "database.dump is not the file that was written" in refused(tmp_path / "cut")
    (tmp_path / "cut" / DUMP).write_bytes(b"PGDMP and mor3")
    assert "database.dump is not the file that was written" in refused(tmp_path / "cut")

    # Whoever changes the dump makes its checksum anew; the signature they cannot make.
    change(tmp_path / "cut", files={DUMP: manifest.facts_of(tmp_path / "cut" / DUMP)})
    assert "The manifest was changed" in refused(tmp_path / "cut")
    change(whole, rows=ROWS | {"auditlog_entry": 2})
    assert "The manifest was changed" in refused(whole)
    (tmp_path / "cut" / DUMP).unlink()
    assert "database.dump cannot be read" in refused(tmp_path / "cut", made_elsewhere=True)
    (whole / MANIFEST).write_text("{")
    assert "cannot be read" in refused(whole)
    (whole / MANIFEST).unlink()
    assert "is no backup" in refused(whole)


def test_a_backup_of_another_desk_of_nothing_or_of_a_newer_release_is_refused(tmp_path, settings):
    elsewhere = small_backup(tmp_path / "elsewhere")
    settings.SECRET_KEY = "the key of another desk, which did not write it" * 2
    assert "under another OPSDESK_SECRET_KEY" in refused(elsewhere)
    assert restoring.check(elsewhere, made_elsewhere=True).total == sum(ROWS.values())

    assert "It is empty" not in refused(small_backup(tmp_path / "empty", rows=ROWS | {"accounts_organization": 0}))
    assert "is empty: it has nothing in accounts_organization" in refused(tmp_path / "empty")
    newer = small_backup(tmp_path / "newer", migrations={"workflows": "9999_from_the_future"})
    assert "newer release, which has workflows.9999_from_the_future" in refused(newer)
    assert "form 2" in refused(small_backup(tmp_path / "form", form=2))
    assert "names no database.dump" in refused(small_backup(tmp_path / "none", files={}))


@pytest.mark.django_db
def test_nothing_is_written_of_an_empty_desk_or_to_a_full_disk(tmp_path, monkeypatch):
    # What this test's own transaction holds nobody else sees.
    with pytest.raises(writing.NotWritten, match="nothing to back up: accounts_organization"):
        writing.write(tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []
    assert "nothing to back up" in Backup.objects.get().trouble

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_facts", full)
    Backup.objects.update(name="opsdesk-before")
    with pytest.raises(writing.NotWritten, match="No space left"):
        writing.write(tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []


def test_lists_of_erasures_only_ever_grow(tmp_path):
    ours, theirs = marks.place(), tmp_path / "copy.jsonl"
    theirs.write_text('{"mark": "a"}\n{"mark": "b"}\n')
    assert restoring.merge_erased([theirs, tmp_path / "not there"]) == 2
    ours.write_text('{"mark": "b"}\n{"mark": "c"}\n')
    assert restoring.merge_erased([theirs]) == 1
    assert ours.read_text().splitlines() == ['{"mark": "b"}', '{"mark": "c"}', '{"mark": "a"}']
    assert restoring.merge_erased([theirs]) == 0


def test_commands_leave_a_given_database_to_its_own_tools(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql:///elsewhere")
    for words in (["backup"], ["restore", str(tmp_path)]):
        with pytest.raises(CommandError, match=r"docs/restore\.md"):
            call_command(*words)


@pytest.mark.django_db(transaction=True)
def test_what_is_put_back_recovers_has_erased_again_and_is_what_was_there(tmp_path, settings):
    organization, _ = make_desk()
    gone = make_case(organization, party="cust-gone", state=CaseState.DONE)
    back = make_case(organization, party="cust-back")
    with transaction.atomic():
        for case, verbs in ((gone, ("opened", "finished")), (back, ("opened",))):
            for verb in verbs:
                record(
                    f"workflows.case.{verb}", actor=Actor.desk("test"), organization_id=organization.pk,
                    subject=("case", case.pk), reason="for the log",
                )  # fmt: skip
    make_run(back)
    close()
    into = tmp_path / "backups"
    (into / "opsdesk-20200101T000000Z").mkdir(parents=True)

    written = writing.write(into, keep=1)
    found = restoring.check(written.folder)
    assert (found.rows["workflows_case"], found.seal["number"]) == (2, Seal.objects.count())
    assert written.removed == ("opsdesk-20200101T000000Z",)
    assert [path.name for path in into.iterdir()] == [written.folder.name]
    assert {path.stat().st_mode & 0o777 for path in written.folder.iterdir()} == {0o600}
    assert Backup.objects.get().rows == found.total

    # After the backup both were erased, the other one once it was closed, and a head was handed out.
    for case in (gone, back):
        marks.remember(organization.slug, marks.mark_of(organization.pk, case.party, customer=True), customer=True)
    head = {"seal": found.seal["number"], "head": found.seal["head"], "sealed_at": "then"}
    later = head | {"seal": found.seal["number"] + 1}
    heads = Path(settings.HEADS["file"])
    heads.write_text(f"{json.dumps(head)}\n{json.dumps(later)}\n")

    database, said = str(connection.settings_dict["NAME"]), list[str]()
    with restoring.put_back(written.folder, found, database, say=said.append) as made:
        assert len(made.waiting) == 1, said
        assert restoring.organizations_in(made.name) == 1
        assert restoring.take_the_place(made.name, f"{database}_later") == ""
    with programs.session(f"{database}_later") as session:
        parties = [party for (party,) in session.execute("SELECT party FROM workflows_case ORDER BY id")]
        assert parties == [marks.mark_of(organization.pk, "cust-gone", customer=True), "cust-back"]
        recovering = session.execute("SELECT count(*) FROM workflows_recovery WHERE state = 'recovering'").fetchone()
        assert recovering == (1,)
        tried = session.execute("SELECT count(*) FROM opsdesk_backup WHERE tried_at IS NOT NULL").fetchone()
        assert tried == (1,)
    restoring.drop(f"{database}_later")
    whole = f"Its audit log is whole: {found.seal['number']} seals over {found.rows['auditlog_entry']} entries, 1 heads"
    assert whole in " ".join(said)
    assert Case.objects.filter(party="cust-gone").exists()  # nothing of the desk itself was touched

    aside = restoring.set_heads_aside(int(found.seal["number"]))
    assert aside is not None and len(aside.read_text().splitlines()) == 2
    assert heads.read_text() == f"{json.dumps(head)}\n"

    # A dump that is a dump, of nothing: the drill that GitLab did not have.
    with programs.session() as session:
        session.execute("CREATE DATABASE nothing_at_all")
    hollow = tmp_path / "hollow"
    shutil.copytree(written.folder, hollow)
    with programs.session("nothing_at_all") as session, session.transaction():
        snapshot = str(session.execute("SELECT pg_export_snapshot()").fetchone()[0])  # type: ignore[index]
        (hollow / DUMP).unlink()
        with programs.working_in("nothing_at_all"):
            programs.dump(hollow / DUMP, snapshot=snapshot)
    restoring.drop("nothing_at_all")
    with pytest.raises(NotUsable, match="rows came back"), restoring.put_back(hollow, found, database, say=said.append):
        pass
    assert restoring.organizations_in(f"{database}_put_back") == 0
