"""Writing a backup of a desk that goes on working: one snapshot, read again to the last byte before it counts."""

import fcntl
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from django.db.models.functions import Now
from psycopg import sql

from opsdesk.backup import manifest, programs
from opsdesk.backup.manifest import DUMP, ERASED, Manifest
from opsdesk.erasure import marks
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from opsdesk.models import Backup

KEEP = 7
_PREFIX, _HALF = "opsdesk-", ".half"
_NAME = re.compile(r"opsdesk-[0-9]{8}T[0-9]{6}Z")
_MIGRATIONS = "SELECT app, max(name) FROM django_migrations GROUP BY app"
_SEAL = "SELECT number, encode(head, 'hex'), last_id FROM auditlog_seal ORDER BY number DESC LIMIT 1"
_TIDE = "SELECT desk::text, number FROM workflows_tide"
_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname"


class NotWritten(DomainError):
    """There is no backup, and why."""


@dataclass(frozen=True, slots=True)
class Written:
    """A backup that was written and read again; `removed` are the names of older ones that went for it."""

    folder: Path
    manifest: Manifest
    removed: tuple[str, ...]


def write(into: Path, *, keep: int = KEEP) -> Written:
    """Write a backup into a folder of its own below `into`, and keep the newest `keep`. Raises NotWritten."""
    name = f"{_PREFIX}{clock.now():%Y%m%dT%H%M%SZ}"
    row, new = Backup.objects.get_or_create(name=name, defaults={"place": str(into)[:500]})
    if not new:
        raise NotWritten("Another backup was begun this very second.")
    try:
        into.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(into):
            written = _whole(into / name)
            removed = tuple(_forget_older(into, keep))
    except (DomainError, OSError, psycopg.Error) as trouble:
        words = " ".join(str(trouble).split())
        Backup.objects.filter(pk=row.pk).update(ended_at=Now(), trouble=words[:500])
        raise NotWritten(words) from trouble
    size = sum(int(facts["bytes"]) for facts in written.files.values())
    Backup.objects.filter(pk=row.pk).update(ended_at=Now(), size=size, rows=written.total)
    return Written(into / name, written, removed)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time; the kernel frees the folder however its holder ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise NotWritten(f"Another backup is being written to {folder}.") from None
    finally:
        os.close(handle)


def _whole(folder: Path) -> Manifest:
    """The folder appears once everything in it is written, read again, and kept by the disk."""
    half = folder.with_name(f"{folder.name}{_HALF}")
    try:
        written = _write(half)
        half.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return written


def _write(folder: Path) -> Manifest:
    folder.mkdir(mode=0o700)
    with programs.session() as session, session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        snapshot = _one(session, "SELECT pg_export_snapshot()")
        facts = _facts(session)
        lacking = manifest.empty(facts["rows"])
        if lacking:
            raise NotWritten(f"There is nothing to back up: {', '.join(lacking)} are empty.")
        programs.dump(folder / DUMP, snapshot=str(snapshot))
    _check_rows(folder / DUMP, facts["rows"])
    if marks.place().exists():
        shutil.copyfile(marks.place(), folder / ERASED)
    files = {name: manifest.facts_of(folder / name) for name in (DUMP, ERASED) if (folder / name).exists()}
    written = Manifest(files=files, release=release(), **facts)
    manifest.write(folder, written)
    for path in folder.iterdir():
        path.chmod(0o600)
        _sync(path)
    _sync(folder)
    # As whoever puts it back will: what the disk did not take shows here.
    return manifest.read(folder)


def _facts(session: programs.Session) -> dict[str, Any]:
    """What the snapshot shows beside the rows themselves."""
    seal = session.execute(_SEAL).fetchone()
    tide = session.execute(_TIDE).fetchone()
    return {
        "made_at": _one(session, "SELECT now()"),
        "postgres": str(_one(session, "SHOW server_version")),
        "rows": rows_of(session),
        "migrations": {str(app): str(name) for app, name in session.execute(_MIGRATIONS)},
        "seal": dict(zip(("number", "head", "last_entry"), seal, strict=True)) if seal else {},
        "tide": dict(zip(("desk", "number"), tide, strict=True)) if tide else {},
    }


def rows_of(session: programs.Session) -> dict[str, int]:
    """How many rows each table has."""
    tables = [str(name) for (name,) in session.execute(_TABLES).fetchall()]
    count = sql.SQL("SELECT count(*) FROM {}")
    return {table: int(_one(session, count.format(sql.Identifier(table)))) for table in tables}


def _one(session: programs.Session, statement: Any) -> Any:
    found = session.execute(statement).fetchone()
    return found[0] if found else None


def _check_rows(file: Path, counted: dict[str, int]) -> None:
    found = programs.rows_in(file)
    for table in sorted(counted.keys() | found.keys()):
        if counted.get(table, 0) != found.get(table, 0):
            raise NotWritten(f"Of {table} {found.get(table, 0)} rows were written, {counted.get(table, 0)} are there.")


def release() -> str:
    """Which release of the desk this is."""
    return str(tomllib.loads((Path(settings.BASE_DIR) / "pyproject.toml").read_text())["project"]["version"])


def unknown_migrations(found: Manifest) -> list[str]:
    """Migrations of the backup's database that this code does not have: it was made by a newer release."""
    loader = MigrationLoader(None)
    return sorted(
        f"{app}.{name}"
        for app, name in found.migrations.items()
        if app in loader.migrated_apps and (app, name) not in loader.disk_migrations
    )


def names_in(folder: Path) -> list[str]:
    """The backups below a folder, the oldest first."""
    if not folder.exists():
        return []
    return sorted(path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _forget_older(folder: Path, keep: int) -> Iterator[str]:
    """Remove what is older than the newest `keep`, and halves of processes that died."""
    for half in folder.glob(f"{_PREFIX}*{_HALF}"):
        shutil.rmtree(half)
    for name in names_in(folder)[:-keep]:
        shutil.rmtree(folder / name)
        yield name


def _sync(path: Path) -> None:
    """Have the disk keep it before it counts."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
