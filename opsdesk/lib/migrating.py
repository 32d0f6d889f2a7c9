"""Migrations of tables that are large already and in use.

A statement that alters a table waits for whoever reads it, and everybody else waits behind it. So it gives up soon,
lets them through, and comes again.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import call_command
from django.db import OperationalError, connection

from opsdesk.lib.database import is_busy

log = structlog.get_logger(__name__)
# For how long everybody else may be held up, and how often it is tried.
LOCK_SECONDS, TRIES = 2, 10
_PAUSE = 3.0


def migrate(*, pause: Callable[[float], object] = time.sleep) -> None:
    """Apply what is not applied, again where a table was in use; raises the last refusal.

    Each migration is one transaction: what was applied stays, what was refused is as if it had not begun.
    """
    for attempt in range(1, TRIES + 1):
        try:
            with _giving_up_soon():
                call_command("migrate", interactive=False, verbosity=0)
        except OperationalError as refusal:
            if attempt == TRIES or not is_busy(refusal):
                raise
            log.warning("migration_waits", attempt=attempt, words=" ".join(str(refusal).split())[:300])
            pause(_PAUSE * (0.5 + random.random()))  # noqa: S311 - nobody has to guess it
        else:
            return


@contextmanager
def _giving_up_soon() -> Iterator[None]:
    """Within, statements wait for no lock for long; a connection that was lost takes its setting along."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_SECONDS}s"])
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")


class AddIndexPatiently(AddIndexConcurrently):
    """Make an index while the desk goes on, however long it takes.

    It is no transaction, so an earlier try may have been killed: what it left half made goes first, what it made stays.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Without the limits of the desk's own statements: it waits for others, and nobody waits for it."""
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
            limits = cursor.fetchone()
            _set_limits(cursor, "0", "0")
            try:
                cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [self.index.name])
                left = cursor.fetchone()
                if left == (True,):
                    return
                if left is not None:
                    schema_editor.execute(f"DROP INDEX CONCURRENTLY {schema_editor.quote_name(self.index.name)}")
                super().database_forwards(app_label, schema_editor, from_state, to_state)
            finally:
                _set_limits(cursor, *limits)


def _set_limits(cursor: Any, statement: str, lock: str) -> None:
    cursor.execute(
        "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)", [statement, lock]
    )
