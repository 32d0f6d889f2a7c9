"""The canonical form: which bytes of an entry, and of a seal, are hashed.

An entry is hashed as the JSON object of all its columns that are not null, as PostgreSQL writes a `jsonb` (UTC). In
place of what may have to be erased, which are names and free text, stands a hash of it under a key that only this field
of this entry has (from the entry's salt). When it is erased, the hash is kept and the key is not: the seal still
verifies, and nobody can guess the text. A column that is added later and is null in old entries changes nothing there.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256

from auditlog.models import ChangeSeal, Seal

FORM = 2
# In form 1 a seal said nothing about what the database saw changing.
FORMS = (1, FORM)
# What may have to be erased: of these only salted hashes are sealed.
ERASABLE = ("actor", "reason", "before", "after")
NOTHING_BEFORE = bytes(32)
_KEY_BYTES, _HASH_BYTES = 8, 32
_STEP = _KEY_BYTES + _HASH_BYTES

# What stands in an entry for what was erased; anything else under a kept hash is a forgery, and hashed like any text.
ERASED = {"actor": "erased", "reason": "erased", "before": '{"erased": true}', "after": '{"erased": true}'}


def _key(name: str) -> str:
    own = f"sha256(convert_to(coalesce(e.salt::text, '') || ':{name}', 'UTF8'))"
    return f"coalesce(decode(x.keys ->> '{name}', 'hex'), {own})"


def _hash(name: str) -> str:
    plain = f"encode(sha256({_key(name)} || convert_to(e.{name}::text, 'UTF8')), 'hex')"
    erased = f"x.hashes ? '{name}' AND e.{name}::text = '{ERASED[name]}'"
    return f"CASE WHEN {erased} THEN x.hashes ->> '{name}' ELSE {plain} END"


# SQL over entries `e` with their erasures `x`, which most have not: the canonical form, and its hash as a leaf.
WITH_ERASURES = "LEFT JOIN auditlog_erasure x ON x.entry_id = e.id"
KEYS = ", ".join(f"CASE WHEN x.hashes ? '{name}' THEN NULL ELSE encode({_key(name)}, 'hex') END" for name in ERASABLE)
_HASHED = ", ".join(f"'{name}', {_hash(name)}" for name in ERASABLE)
TEXT = (
    f"(jsonb_strip_nulls(to_jsonb(e) - '{{salt,{','.join(ERASABLE)}}}'::text[]) || jsonb_build_object({_HASHED}))::text"
)
LEAF = rf"sha256('\x00'::bytea || convert_to({TEXT}, 'UTF8'))"
# The same of what the database saw changing: it holds no text that may have to be erased.
CHANGE_LEAVES = (
    r"string_agg(int8send(c.id) || sha256('\x00'::bytea || convert_to(jsonb_strip_nulls(to_jsonb(c))::text, 'UTF8')), "
    "''::bytea ORDER BY c.id)"
)
LEAVES = f"string_agg(int8send(e.id) || {LEAF}, ''::bytea ORDER BY e.id)"


def hash_of(text: str, key: str) -> str:
    """What stands for an erasable text in the canonical form; key and hash in hexadecimal digits."""
    return sha256(bytes.fromhex(key) + text.encode()).hexdigest()


def apart(leaves: bytes) -> Iterator[tuple[int, bytes]]:
    """The leaves of a seal as pairs of the entry's number and its hash."""
    for start in range(0, len(leaves), _STEP):
        yield int.from_bytes(leaves[start : start + _KEY_BYTES]), leaves[start + _KEY_BYTES : start + _STEP]


def hashes(leaves: bytes) -> list[bytes]:
    """The hashes alone."""
    return [leaves[start + _KEY_BYTES : start + _STEP] for start in range(0, len(leaves), _STEP)]


def moment(at: datetime) -> str:
    """A moment as it is sealed: UTC with six decimals."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def line_of(seal: Seal) -> str:
    """A seal in its canonical form, without its head."""
    facts = [
        *("opsdesk seal", seal.form, seal.number, seal.after_id, seal.last_id, seal.count),
        *(bytes(seal.root).hex(), bytes(seal.previous).hex(), moment(seal.sealed_at)),
    ]
    if seal.form > 1:
        facts += [seal.changes_number, bytes(seal.changes_head or NOTHING_BEFORE).hex()]
    return json.dumps(facts)


def line_over_changes(seal: ChangeSeal) -> str:
    """A seal over changes in its canonical form, without its head."""
    facts = [
        *("opsdesk seal over changes", seal.number, seal.after_id, seal.last_id, seal.count),
        *(bytes(seal.root).hex(), bytes(seal.previous).hex(), moment(seal.sealed_at)),
    ]
    return json.dumps(facts)


def head_of(line: str) -> bytes:
    """The head of the seal whose canonical form this is."""
    return sha256(line.encode()).digest()
