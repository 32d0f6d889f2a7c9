"""The servers of the desk: database, broker, and whether their clock is ours."""

from collections.abc import Iterator
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import KombuError

from auditlog import noting
from opsdesk.grants import APPEND_ONLY
from opsdesk.lib import clock
from opsdesk.lib.servers import LIMITS
from opsdesk.lib.wording import span
from opsdesk.watch.doctor.opinions import Opinion, good, noted, wrong
from opsdesk.watch.heartbeats import database_now
from opsdesk.watch.processes import MOST_SKEW

OLDEST_POSTGRES = 15
KNOCK_SECONDS = 5


def ask(statement: str) -> Any:
    """The one value a statement gives."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def database_answers() -> Iterator[Opinion]:
    """Whether it is there, young enough, and lets us write."""
    version = int(ask("SHOW server_version_num")) // 10_000
    if version < OLDEST_POSTGRES:
        yield wrong(f"The database is PostgreSQL {version}.", f"Move it to {OLDEST_POSTGRES} or newer.")
    else:
        yield good(f"The database answers; it is PostgreSQL {version}.")
    if ask("SELECT pg_is_in_recovery()") or ask("SHOW transaction_read_only") == "on":
        yield wrong(
            "The database takes no writes: it is a standby, or was made read-only.",
            "Point DATABASE_URL to the primary, or promote this one.",
        )


def roles_are_separate() -> Iterator[Opinion]:
    """Whether this process could change the past: whoever owns the audit log can switch off what forbids it."""
    tables = ", ".join(f"'{table}'::regclass" for table in sorted(APPEND_ONLY))
    of_them = f"FROM pg_class WHERE oid IN ({tables})"  # fixed names
    owns = ask(f"SELECT bool_or(pg_has_role(relowner, 'USAGE')) {of_them}")
    may = ask(f"SELECT bool_or(has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE')) {of_them}")
    role = ask("SELECT current_user")
    if not owns and not may:
        yield good(f"The role {role} owns no table and cannot change the audit log.")
        return
    says = wrong if settings.PRODUCTION else noted
    could = "owns the tables" if owns else "may change entries"
    yield says(
        f"The role {role} {could}: whoever gets hold of this process can rewrite the audit log.",
        "Give the tables to another role, and run manage.py prepare --grant-to as that one; docs/deploy.md says how.",
    )


def changes_are_taken_down() -> Iterator[Opinion]:
    """Whether every tracked table has the triggers that this code would give it, switched on."""
    lacking = noting.missing()
    if lacking:
        yield wrong(
            f"Changes may go unseen: {len(lacking)} triggers are missing, off or old, first {lacking[0]}.",
            "Run manage.py prepare as the role that owns the tables, and look who switched them off.",
        )
    else:
        yield good("Every tracked table takes down its changes.")


def texts_can_be_searched() -> Iterator[Opinion]:
    """Whether the extension is there on which the indexes of the search rest."""
    if ask("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'"):
        yield good("The extension pg_trgm is there: cases are found by parts of words.")
        return
    offered = ask("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
    yield wrong(
        "The extension pg_trgm is missing: the migrations stop where the search begins.",
        "Whoever may create in this database says CREATE EXTENSION pg_trgm in it, then run manage.py prepare."
        if offered
        else "Install PostgreSQL's contrib package on the server, say CREATE EXTENSION pg_trgm, run manage.py prepare.",
    )


def migrations_are_applied() -> Iterator[Opinion]:
    """Whether the tables are those of this code."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        first = plan[0][0]
        yield wrong(f"{len(plan)} migrations are not applied, the first is {first}.", "Run manage.py prepare.")
        return
    unknown = sorted(set(executor.loader.applied_migrations) - set(executor.loader.disk_migrations))
    ours = [key for key in unknown if key[0] in executor.loader.migrated_apps]
    if ours:
        yield noted(
            f"The tables are newer than this code: it does not know {'.'.join(ours[-1])}.",
            "That is so during an upgrade; restart this process with the new code soon.",
        )
    else:
        yield good("All migrations are applied.")


def clocks_agree() -> Iterator[Opinion]:
    """Whether this host and the database have the same time."""
    before = clock.now()
    skew = database_now() - before
    if abs(skew) > MOST_SKEW:
        side = "behind" if skew.total_seconds() > 0 else "ahead of"
        yield wrong(
            f"The clock of this host is {span(skew)} {side} the database's.",
            "Set both by NTP (timedatectl set-ntp true): webhooks are refused when it is five minutes off.",
        )
    else:
        yield good("The clocks of this host and of the database agree.")


def limits_are_set() -> Iterator[Opinion]:
    """Whether the database ends what takes too long, as each kind of process asks it to."""
    wanted = LIMITS[settings.PROCESS]
    for name, seconds in (
        ("statement_timeout", wanted.statement_seconds),
        ("lock_timeout", wanted.lock_seconds),
        ("idle_in_transaction_session_timeout", wanted.idle_seconds),
    ):
        found = int(ask(f"SELECT setting FROM pg_settings WHERE name = '{name}'"))  # noqa: S608 - three fixed names
        if found != seconds * 1000:
            said = f"{found / 1000:g} s" if found else "off"
            yield wrong(
                f"The database's {name} is {said} for this process, not {seconds} s.",
                "Take it out of the options in DATABASE_URL; a pooler must hand options on.",
            )
            return
    yield good("Statements, locks and idle transactions have their time-outs.")


def broker_answers() -> Iterator[Opinion]:
    """Whether rings can be sent."""
    try:
        with current_app.connection_for_write(connect_timeout=KNOCK_SECONDS) as broker:
            broker.ensure_connection(max_retries=1, timeout=KNOCK_SECONDS)
    except (OSError, KombuError, redis.RedisError) as error:
        yield wrong(
            f"The broker (BROKER_URL) does not answer: {error}.",
            "Start it. Nothing is lost: work lies in the database, and only waits.",
        )
        return
    yield good("The broker answers.")


def errands_are_kept() -> Iterator[Opinion]:
    """Whether the server of people's errands answers, and keeps them when it is restarted."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=KNOCK_SECONDS)
    try:
        facts: Any = client.info("persistence")
    except redis.RedisError as error:
        yield wrong(f"The server of errands (REDIS_URL) does not answer: {error}.", "Start it.")
        return
    if facts.get("aof_last_write_status") == "err" or facts.get("rdb_last_bgsave_status") == "err":
        yield wrong("The server of errands could not write to its disk.", "Look whether its disk is full.")
    elif not facts.get("aof_enabled"):
        yield noted(
            "The server of errands does not write down what it holds: a restart loses exports that wait.",
            "Set appendonly yes in its configuration.",
        )
    else:
        yield good("The server of errands answers and keeps what it holds.")
