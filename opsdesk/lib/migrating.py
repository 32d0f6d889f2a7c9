"""Migrations of tables that are large already and in use."""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently


class AddIndexPatiently(AddIndexConcurrently):
    """Make an index while the desk goes on, however long it takes; what an earlier try left half made goes first."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Without the limits of the desk's own statements: it waits for others, and nobody waits for it."""
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
            limits = cursor.fetchone()
            _set_limits(cursor, "0", "0")
            try:
                cursor.execute(
                    "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid", [self.index.name]
                )
                if cursor.fetchone():
                    schema_editor.execute(f"DROP INDEX CONCURRENTLY {schema_editor.quote_name(self.index.name)}")
                super().database_forwards(app_label, schema_editor, from_state, to_state)
            finally:
                _set_limits(cursor, *limits)


def _set_limits(cursor: Any, statement: str, lock: str) -> None:
    cursor.execute(
        "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)", [statement, lock]
    )
