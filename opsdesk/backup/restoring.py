"""From a backup to a database that recovers: put back beside the desk's own, looked through, and then in its place.

What takes the desk's place has been erased again, recovers already and was found to be whole: there is no moment in
which a restored desk could act. On trial it is the same, and the database is thrown away at the end.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from psycopg import sql

from accounts.models import Organization
from accounts.sessions import Session
from auditlog.models import Seal
from auditlog.seals import heads, looking, verifying
from auditlog.services import Actor
from integrations.secrets import Undecryptable
from opsdesk.backup import manifest, programs, writing
from opsdesk.backup.manifest import DUMP, Manifest, NotUsable
from opsdesk.embedded.addresses import DESK
from opsdesk.erasure import erasing, marks
from opsdesk.grants import grant_to
from opsdesk.invariants import check_all
from opsdesk.lib import clock
from opsdesk.models import Backup
from workflows.recovery import mode
from workflows.states import RecoveryCause

Say = Callable[[str], object]
# These ask whether the desk works off what is due, which it has not done since the backup.
OF_A_WORKING_DESK = frozenset({"I1", "I3", "I9"})
_BESIDE = "_put_back"


def check(folder: Path, *, made_elsewhere: bool = False) -> Manifest:
    """Read and check a backup before anything is touched. Raises NotUsable."""
    found = manifest.read(folder, made_elsewhere=made_elsewhere)
    unknown = writing.unknown_migrations(found)
    if unknown:
        raise NotUsable(f"The backup is of a newer release, which has {unknown[0]}: install that one.")
    return found


@dataclass(frozen=True, slots=True)
class PutBack:
    """A database made from a backup. `waiting`: marks of the erased who have an open case in it, and stay for now."""

    name: str
    waiting: Sequence[str]


@contextmanager
def put_back(folder: Path, found: Manifest, database: str, *, say: Say) -> Iterator[PutBack]:
    """Make a database from a backup beside the desk's own, and look through it.

    It is dropped at the end unless somebody gave it another name. Raises NotUsable, ProgramFailed.
    """
    beside = f"{database}{_BESIDE}"
    with programs.session("postgres") as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(beside)))
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(beside)))
        try:
            programs.fill(beside, folder / DUMP)
            with programs.session(beside) as session:
                _compare(session, found)
                session.execute("ANALYZE")
            say(f"{found.total} rows of {len(found.rows)} tables are what was backed up.")
            with programs.working_in(beside):
                waiting = _make_ready(folder, found, say)
                _look_through(found, say)
            yield PutBack(beside, waiting)
        finally:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(beside)))


def take_the_place(beside: str, database: str) -> str:
    """Give the database the desk's name, and the one before another; returns that name, "" when there was none."""
    aside = f"{database}_before_{clock.now():%Y%m%d_%H%M%S}"
    names = {"old": sql.Identifier(database), "aside": sql.Identifier(aside), "new": sql.Identifier(beside)}
    with programs.session("postgres") as server, server.transaction():
        there = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if there:
            server.execute(sql.SQL("ALTER DATABASE {old} RENAME TO {aside}").format(**names))
        server.execute(sql.SQL("ALTER DATABASE {new} RENAME TO {old}").format(**names))
    return aside if there else ""


def drop(database: str) -> None:
    """Throw a database away in which nothing is."""
    with programs.session("postgres") as server:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))


def set_heads_aside(newest: int) -> Path | None:
    """Put aside heads of seals that were made after the backup: the log goes on from before them.

    Returns the file that has them all. The other outlets keep theirs, and tell the cut to whoever compares.
    """
    place = Path(settings.HEADS.get("file") or "")
    if not place.is_file() or all(head.number <= newest for head in heads.read(place)):
        return None
    aside = place.with_name(f"{place.name}.before-{clock.now():%Y%m%dT%H%M%SZ}")
    shutil.copy2(place, aside)
    kept = [line for line in place.read_text().splitlines() if line.strip() and json.loads(line)["seal"] <= newest]
    half = place.with_name(f"{place.name}.half")
    half.write_text("".join(f"{line}\n" for line in kept))
    half.replace(place)
    return aside


def _compare(session: programs.Session, found: Manifest) -> None:
    counted = writing.rows_of(session)
    for table in sorted(counted.keys() | found.rows.keys()):
        if counted.get(table, 0) != found.rows.get(table, 0):
            there, was = counted.get(table, 0), found.rows.get(table, 0)
            raise NotUsable(f"Of {table} {there} rows came back, {was} were backed up.")
    lacking = manifest.empty(counted)
    if lacking:
        raise NotUsable(f"What came back is empty: nothing is in {', '.join(lacking)}.")


def _make_ready(folder: Path, found: Manifest, say: Say) -> Sequence[str]:
    """Bring it to this release, have it recover, erase again whom it brought back; returns who must wait for that."""
    call_command("migrate", interactive=False, verbosity=0)
    grant_to(DESK)
    # Some of them ended after the backup, with a right that was taken away or a password that was changed.
    Session.objects.all().delete()
    at = f"{found.made_at:%Y-%m-%d %H:%M:%S} UTC"
    begun = mode.begin_everywhere(
        RecoveryCause.DECLARED, f"The backup of {at} was put back by manage.py restore.", since=found.made_at
    )
    say(f"{begun} organizations recover from {at} on: nothing is sent before that is signed.")
    erased, open_still = erasing.again(Organization.objects.order_by("pk"), actor=Actor.desk("manage.py restore"))
    say(f"{len(erased)} people were erased again, {len(open_still)} have a case that is open again.")
    name = folder.resolve().name
    facts: dict[str, Any] = {"ended_at": found.made_at, "rows": found.total, "tried_at": clock.now()}
    size = sum(int(each["bytes"]) for each in found.files.values())
    Backup.objects.update_or_create(name=name, defaults={"place": str(folder.parent)[:500], "size": size, **facts})
    return open_still


def _look_through(found: Manifest, say: Say) -> None:
    """Audit log and invariants. Raises NotUsable."""
    newest = Seal.objects.order_by("-number").defer("leaves").first()
    head = {"number": newest.number, "head": bytes(newest.head).hex()} if newest else {}
    if head != {name: found.seal[name] for name in ("number", "head") if name in found.seal}:
        raise NotUsable(f"The audit log ends with seal {head}, and the manifest says {dict(found.seal)}.")
    known = [each for each in heads.of_this_machine() if newest and each.number <= newest.number]
    report = verifying.verify(known)
    looking.note(report, asked_by="restore")
    if report.found:
        raise NotUsable(f"The audit log in the backup is broken: {report.found}")
    say(f"Its audit log is whole: {report.seals} seals over {report.entries} entries, {report.heads} heads from here.")
    broken = list(_broken(say))
    if broken:
        raise NotUsable(f"What was backed up was not in order: {' '.join(broken)}")
    say("Every invariant holds.")


def _broken(say: Say) -> Iterator[str]:
    """Invariants that do not hold, but for those that only wait for the desk to go on."""
    try:
        findings = list(check_all())
    except Undecryptable as closed:
        raise NotUsable("The stored secrets cannot be read: give the OPSDESK_FIELD_KEYS of that desk.") from closed
    for finding in findings:
        if finding.wrong and finding.name in OF_A_WORKING_DESK:
            say(f"{finding.name} waits for the desk to go on: {len(finding.wrong)} things are due.")
        elif finding.wrong:
            yield f"{finding.name}: {finding.wrong[0]}"


def organizations_in(database: str) -> int:
    """How many organizations a desk's database has; 0 when there is none, or no table of it."""
    with programs.session("postgres") as server:
        if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone() is None:
            return 0
    with programs.session(database) as session:
        if session.execute("SELECT to_regclass('accounts_organization')").fetchone() == (None,):
            return 0
        found = session.execute("SELECT count(*) FROM accounts_organization").fetchone()
    return int(found[0]) if found else 0


def merge_erased(files: Sequence[Path]) -> int:
    """Add lines of other lists of erasures to this desk's; returns how many were new.

    A list in a backup is older than this desk's own, and adds to it only where this desk is a new one.
    """
    ours = set(marks.place().read_text().splitlines()) if marks.place().exists() else set()
    theirs = {line for file in files if file.exists() for line in file.read_text().splitlines() if line.strip()}
    new = sorted(theirs - ours)
    if new:
        marks.place().parent.mkdir(parents=True, exist_ok=True)
        with marks.place().open("a") as list_of_ours:
            list_of_ours.writelines(f"{line}\n" for line in new)
    return len(new)
