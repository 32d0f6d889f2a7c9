"""Heads as they are handed outside: a JSON object a line, which `manage.py audit verify --heads` reads again."""

import json
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from auditlog.models import Seal
from auditlog.seals.form import moment
from auditlog.seals.verifying import Head


def line_about(seal: Seal) -> str:
    """What is handed out about a seal."""
    facts = {"seal": seal.number, "head": bytes(seal.head).hex(), "last_entry": seal.last_id}
    return json.dumps({**facts, "sealed_at": moment(seal.sealed_at)})


def read(file: Path) -> Iterator[Head]:
    """The heads in a file. Raises OSError, and ValueError with the number of the line that is none."""
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            facts = json.loads(line)
            yield Head(int(facts["seal"]), str(facts["head"]), str(facts["sealed_at"]))
        except (KeyError, TypeError, ValueError) as odd:
            raise ValueError(f"line {number} of {file} is not a head") from odd


def of_this_machine() -> list[Head]:
    """The heads that were handed to the file of this machine; none where there is no file."""
    name = settings.HEADS.get("file")
    return list(read(Path(name))) if name and Path(name).exists() else []
