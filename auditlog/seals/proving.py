"""Proving one entry: that it stood in the log when a head was handed out, to whoever has that head and no database."""

import json
from collections.abc import Iterator
from typing import Any

from django.db import connection

from auditlog.models import Entry, Handing, Seal
from auditlog.seals.form import ERASABLE, KEYS, TEXT, WITH_ERASURES, apart, hash_of, hashes, head_of, line_of
from auditlog.seals.merkle import leaf_of, path_of, root_by

Proof = dict[str, Any]
# From a seal to the next head that was handed out; one is handed out every few minutes.
_MOST_SEALS = 500


def proof(entry: Entry) -> Proof | None:
    """All it takes to prove an entry, as plain JSON; None while the entry waits for its seal.

    `entry` is its canonical form; `texts` what stands behind the hashes in it and `keys` what each was hashed under,
    null for what was erased since; `path` leads to the root in the first of `seals`, each of which names the head of
    the one before, up to the next head that was handed out, or the newest. `handed` says where that one went.
    """
    holding = Seal.objects.filter(last_id__gte=entry.pk).order_by("last_id").first()
    if holding is None or holding.after_id >= entry.pk:
        return None
    keys = [key for key, _ in apart(bytes(holding.leaves))]
    handings = Handing.objects.filter(seal_number__gte=holding.number, trouble="").order_by("seal_number", "pk")
    handed = list(handings[:1])
    last = handed[0].seal_number if handed else holding.number + _MOST_SEALS
    chain = Seal.objects.filter(number__range=(holding.number, last)).order_by("number").defer("leaves")
    text, *rest = _stored(entry.pk)
    fields = dict(zip(ERASABLE, zip(rest[: len(ERASABLE)], rest[len(ERASABLE) :], strict=True), strict=True))
    index = keys.index(entry.pk)
    return {
        "form": holding.form,
        "entry": text,
        "texts": {name: told if key else None for name, (told, key) in fields.items()},
        "keys": {name: key for name, (_, key) in fields.items()},
        "index": index,
        "count": holding.count,
        "path": [each.hex() for each in path_of(hashes(bytes(holding.leaves)), index)],
        "seals": [line_of(each) for each in chain],
        "handed": [
            {"seal": each.seal_number, "head": bytes(each.head).hex(), "at": each.at.isoformat(), "by": each.outlet}
            for each in handed
        ],
    }


def check_proof(given: Proof, *, heads: dict[int, str] | None = None) -> list[str]:
    """What is wrong with a proof, in sentences; needs no database.

    `heads` are heads from outside by the number of their seal, in hexadecimal digits: the last seal of the proof must
    be one of them. Without them only the proof's own consistency is checked.
    """
    try:
        return list(_faults(given, heads))
    except (KeyError, TypeError, ValueError, IndexError) as odd:
        return [f"The proof is not whole: {odd}."]


def _faults(given: Proof, heads: dict[int, str] | None) -> Iterator[str]:
    sealed = json.loads(given["entry"])
    for name in ERASABLE:
        told, key = given["texts"][name], given["keys"][name]
        if (told is not None or key is not None) and hash_of(told, key) != sealed[name]:
            yield f"The {name} is not the one that was sealed."
    seals = [json.loads(line) for line in given["seals"]]
    root = root_by(
        leaf_of(given["entry"]), given["index"], given["count"], [bytes.fromhex(each) for each in given["path"]]
    )
    _, _, number, after, last, count, sealed_root = seals[0][:7]
    if root is None or root.hex() != sealed_root or count != given["count"] or not after < sealed["id"] <= last:
        yield f"Entry {sealed['id']} does not lead to the root of seal {number}."
    for line, following in zip(given["seals"], seals[1:], strict=False):
        if head_of(line).hex() != following[7]:
            yield f"Seal {following[2]} does not follow the one before it."
    newest = seals[-1][2]
    if heads is not None and heads.get(newest) != head_of(given["seals"][-1]).hex():
        yield f"The head of seal {newest} is not one that was handed out."


def _stored(key: int) -> tuple[Any, ...]:
    """Canonical form of an entry, then its erasable texts, then their keys, as the database has them now."""
    texts = ", ".join(f"e.{name}::text" for name in ERASABLE)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {TEXT}, {texts}, {KEYS} FROM auditlog_entry e {WITH_ERASURES} WHERE e.id = %s",  # noqa: S608 - fixed text
            [key],
        )
        found: tuple[Any, ...] = cursor.fetchone()
    return found
