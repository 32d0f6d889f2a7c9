"""Who was erased, without saying who: keyed hashes, in a file that is not part of the database's backup."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils.crypto import salted_hmac

from opsdesk.lib import clock

PREFIX = "erased-"
_SALT = "opsdesk.erasure"
# With 20 hexadecimal digits two people of one organization never share a mark by chance.
_DIGITS = 20


def mark_of(organization_id: int, name: str, *, customer: bool) -> str:
    """What stands for an erased person: only whoever has the desk's secret key can compute it from the name."""
    kind = "customer" if customer else "requester"
    hashed = salted_hmac(_SALT, f"{organization_id}:{kind}:{name}", algorithm="sha256").hexdigest()
    return f"{PREFIX}{hashed[:_DIGITS]}"


def place() -> Path:
    """The list of erasures: a JSON object a line."""
    return Path(settings.VAR_DIR) / "erased.jsonl"


def remember(slug: str, mark: str, *, customer: bool) -> None:
    """Add a line once the transaction has committed."""
    if mark not in listed(slug):
        line = {"organization": slug, "mark": mark, "customer": customer, "at": clock.now().isoformat()}
        transaction.on_commit(partial(_append, json.dumps(line)))


def _append(line: str) -> None:
    with place().open("a") as file:
        file.write(f"{line}\n")


def listed(slug: str) -> frozenset[str]:
    """The marks of an organization's erased people."""
    return frozenset(line["mark"] for line in _lines() if line["organization"] == slug)


def _note() -> Path:
    return place().with_name("erase-again.json")


def keep_waiting(waiting: Sequence[str]) -> None:
    """Note whom a restore brought back and who cannot be erased yet, until nobody is left."""
    if waiting:
        _note().write_text(json.dumps(sorted(waiting)))
    else:
        _note().unlink(missing_ok=True)


def waiting() -> list[str]:
    """The marks of those who are to be erased again and could not be yet."""
    return list(json.loads(_note().read_text())) if _note().exists() else []


def _lines() -> Iterator[dict[str, str]]:
    if place().exists():
        for line in place().read_text().splitlines():
            yield json.loads(line)
