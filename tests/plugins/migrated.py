"""Databases in which all migrations ran already: that takes half a minute of computing, a copy takes a second.

The first process of a session that needs one makes it while the others wait; each takes a copy. The database of a
worker is copied by PostgreSQL (`CREATE DATABASE … TEMPLATE …`, which asks for no more than CREATEDB), the files of a
whole desk's cluster by the file system.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from django.db.backends.postgresql.creation import DatabaseCreation
from django.db.backends.utils import CursorWrapper
from psycopg.sql import SQL, Identifier
from pytest_django import DjangoDbBlocker

from opsdesk.embedded import processes
from opsdesk.embedded.addresses import ROOT, Places, places, server_account
from opsdesk.embedded.folders import open_folder
from opsdesk.embedded.postgres import Postgres
from tests.plugins.embedded import is_worker

# What leads to the servers of the session, which another cluster must not be taken for.
_OF_THE_SESSION = ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "OPSDESK_TEST_SOCKET")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    django_db_blocker: DjangoDbBlocker,
    django_db_use_migrations: bool,
    django_db_keepdb: bool,
    django_db_createdb: bool,
) -> Iterator[None]:
    """Where pytest-django lets settings of databases be changed: that of a worker is a copy, unless it is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseCreation, "_execute_create_test_db", _patiently)
        if is_worker() and django_db_use_migrations:
            with django_db_blocker.unblock(), connection._nodb_cursor() as cursor:
                own = connection.settings_dict["TEST"]["NAME"]
                if not (django_db_keepdb and not django_db_createdb and _is_there(cursor, own)):
                    connection.settings_dict["TEST"]["TEMPLATE"] = _template(cursor)
        yield


_create = DatabaseCreation._execute_create_test_db


def _patiently(creation: DatabaseCreation, cursor: CursorWrapper, words: dict[str, str], keepdb: bool = False) -> None:
    """A whole database is made: the time that a page gives its statements is not meant for that."""
    cursor.execute("SET statement_timeout = 0")
    _create(creation, cursor, words, keepdb)


@contextmanager
def _one_at_a_time(name: str) -> Iterator[Path]:
    """Keep the other processes of the session waiting; gives the session's folder."""
    folder = places().var
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _is_there(cursor: CursorWrapper, database: str) -> bool:
    cursor.execute("SELECT FROM pg_database WHERE datname = %s", [database])
    return cursor.fetchone() is not None


def _template(cursor: CursorWrapper) -> str:
    """The name of a migrated database of this session, to which nobody is connected."""
    name = os.environ["OPSDESK_TEST_TEMPLATE"]
    with _one_at_a_time("template"):
        if not _is_there(cursor, name):
            half = f"{name}_half"  # one that was not migrated to its end never counts
            _migrate(half)
            cursor.execute(f'ALTER DATABASE "{half}" RENAME TO "{name}"')
    return name


def _migrate(database: str) -> None:
    """Make a database of that name as Django makes one for tests."""
    names, tests = connection.settings_dict["NAME"], connection.settings_dict["TEST"]
    wish, tests["NAME"] = tests["NAME"], database
    try:
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    finally:
        tests["NAME"] = wish
        connection.creation.destroy_test_db(names, verbosity=0, keepdb=True)  # takes only the name back


def drop_template() -> None:
    """Remove it from a server that was given by its URL; one that was started for the session is thrown away."""
    name, url = os.environ.get("OPSDESK_TEST_TEMPLATE"), os.environ.get("DATABASE_URL")
    if name and url:
        with suppress(psycopg.OperationalError), psycopg.connect(url, dbname="postgres", autocommit=True) as server:
            server.execute(SQL("DROP DATABASE IF EXISTS {}").format(Identifier(name)))


def copy_cluster(desk: Places) -> None:
    """Let a desk that has never run find a cluster that is migrated."""
    made = _cluster().postgres
    open_folder(desk.base)
    shutil.copytree(made, desk.postgres, symlinks=True)
    nobody = server_account()
    if nobody:
        for path in (desk.postgres, *desk.postgres.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


def _cluster() -> Places:
    with _one_at_a_time("cluster") as session:
        made = places(session / "migrated")
        if not (made.var / "done").exists():
            _make_cluster(made)
            (made.var / "done").touch()
    return made


def _make_cluster(made: Places) -> None:
    open_folder(made.var)
    server = Postgres(made, forgetful=True)
    server.prepare()
    service = server.service()
    process = processes.launch(service, made.var, log=made.var / "postgres.log")
    try:
        processes.wait_until_ready(service, process)
        others = {name: value for name, value in os.environ.items() if name not in _OF_THE_SESSION}
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=ROOT,
            env={**others, "OPSDESK_VAR": str(made.var), "OPSDESK_AS_OWNER": "1"},
            check=True,
        )
    finally:
        processes.stop([(service, process)])
