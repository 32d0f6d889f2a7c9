"""The folder of one backup: what stands in its manifest, and whether the folder is still what was written."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils.crypto import salted_hmac

from opsdesk.lib.errors import DomainError

FORM = 1
DUMP, ERASED, MANIFEST = "database.dump", "erased.jsonl", "manifest.json"
# A desk of which nothing of this is left is no desk: such a backup would be kept in place of a good one.
NEVER_EMPTY = ("accounts_organization", "accounts_user", "auditlog_entry")
# What a backup must not hold, and a restore needs all the same.
LACKS = ("OPSDESK_SECRET_KEY", "OPSDESK_FIELD_KEYS")
_SALT = "opsdesk.backup"


class NotUsable(DomainError):
    """A backup from which no desk may be made, and why."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    `rows` by table and `seal` (the head of the audit log: number and hexadecimal digits) are of the very moment the
    dump is of. `files` by name: bytes and SHA-256. `migrations`: the newest of each app.
    """

    made_at: datetime
    release: str
    postgres: str
    files: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, int]
    migrations: Mapping[str, str]
    seal: Mapping[str, Any]
    tide: Mapping[str, Any]
    lacks: tuple[str, ...] = LACKS
    form: int = FORM

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


def empty(rows: Mapping[str, int]) -> list[str]:
    """Tables that hold nothing though no desk is without them."""
    return [table for table in NEVER_EMPTY if not rows.get(table)]


def facts_of(file: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    with file.open("rb") as content:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}


def write(folder: Path, manifest: Manifest) -> None:
    """Write it, signed under the desk's secret key: whoever changes dump and manifest alike is found out."""
    facts = asdict(manifest) | {"made_at": manifest.made_at.isoformat(), "lacks": list(manifest.lacks)}
    signed = facts | {"signature": _signature(facts)}
    (folder / MANIFEST).write_text(json.dumps(signed, indent=2) + "\n")


def read(folder: Path, *, made_elsewhere: bool = False) -> Manifest:
    """Read it, and look whether every file is the one that was written. Raises NotUsable.

    `made_elsewhere`: take one that was signed under another secret key; then only its checksums speak for it.
    """
    try:
        facts = json.loads((folder / MANIFEST).read_text())
        signature = str(facts.pop("signature"))
        form = facts["form"]
    except FileNotFoundError:
        raise NotUsable(f"{folder} is no backup: it has no {MANIFEST}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as odd:
        raise NotUsable(f"The manifest in {folder} cannot be read: {odd}.") from odd
    if form != FORM:
        raise NotUsable(f"The backup is of form {form}, which this release does not know.")
    if not made_elsewhere and not _ours(facts, signature):
        raise NotUsable(
            "The manifest was changed, or signed under another OPSDESK_SECRET_KEY. A dump is a program that runs "
            "as the database's owner: only if you know who made this one, say --made-elsewhere."
        )
    manifest = Manifest(**facts | {"made_at": datetime.fromisoformat(facts["made_at"]), "lacks": tuple(facts["lacks"])})
    _check_files(folder, manifest)
    lacking = empty(manifest.rows)
    if lacking:
        raise NotUsable(f"The backup is empty: it has nothing in {', '.join(lacking)}.")
    return manifest


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name in {DUMP} - manifest.files.keys():
        raise NotUsable(f"The manifest names no {name}.")
    for name, facts in manifest.files.items():
        try:
            found = facts_of(folder / name)
        except OSError as trouble:
            raise NotUsable(f"{name} cannot be read: {trouble.strerror}.") from trouble
        if found != dict(facts):
            raise NotUsable(f"{name} is not the file that was written: it was changed, cut off or damaged.")


def _ours(facts: Mapping[str, Any], signature: str) -> bool:
    return hmac.compare_digest(_signature(facts), signature)


def _signature(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return salted_hmac(_SALT, text, algorithm="sha256").hexdigest()
