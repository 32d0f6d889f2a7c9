"""Evidence that leaves the desk: one JSON file about one case, and the check of it, which needs no database."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from auditlog.seals import check_proof

FORM = "opsdesk evidence 1"
Bundle = dict[str, Any]


def canonical(value: object) -> str:
    """The one text of a JSON value, over which it is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(text: str) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def closed(content: Mapping[str, Any]) -> Bundle:
    """The content as a bundle: with its form, and the digest over all of it."""
    bundle = {"form": FORM, **content}
    return {**bundle, "digest": digest_of(canonical(bundle))}


def faults(bundle: Any, heads: dict[int, str] | None = None) -> list[str]:
    """What is wrong with a bundle, in sentences; none when it holds.

    `heads` are heads of seals that were handed outside, by number, in hexadecimal digits: with them the proofs show
    that the entries stood in the log when the heads were handed out.
    """
    try:
        return list(_faults(bundle, heads))
    except (AttributeError, KeyError, TypeError, ValueError) as odd:
        return [f"This is not a whole bundle: {odd!r}."]


def unsealed(bundle: Bundle) -> int:
    """How many of its entries had no seal yet when it was made."""
    return sum(entry["proof"] is None for entry in bundle["entries"])


def _faults(bundle: Any, heads: dict[int, str] | None) -> Iterator[str]:
    if bundle["form"] != FORM:
        yield f"Its form is {bundle['form']!r}, not {FORM!r}."
    rest = {name: value for name, value in bundle.items() if name != "digest"}
    if digest_of(canonical(rest)) != bundle["digest"]:
        yield "The file was changed since it was made: its digest is another."
    decisions = {each["id"]: each for each in bundle["decisions"]}
    for decision in decisions.values():
        if decision["hashed"] is not None and digest_of(decision["hashed"]) != decision["content_hash"]:
            yield f"Decision {decision['id']} is about other content than the one that stands here."
    for review in bundle["reviews"]:
        if review["content_hash"] != decisions[review["decision"]]["content_hash"]:
            yield f"Review {review['id']} asks about other content than its decision."
        for vote in review["votes"]:
            if vote["content_hash"] != review["content_hash"]:
                yield f"Vote {vote['id']} is about other content than its review."
    yield from _faults_of_money(bundle)
    for entry in bundle["entries"]:
        yield from _faults_of_entry(entry, heads)


def _faults_of_money(bundle: Bundle) -> Iterator[str]:
    grants = {each["id"]: each for each in bundle["authorizations"]}
    for action in bundle["actions"]:
        if not action["moves_money"]:
            continue
        grant = grants.get(action["authorization"])
        if grant is None:
            yield f"Action {action['id']} moved money without an authorization."
        elif (action["amount_minor"], action["currency"]) != (grant["amount_minor"], grant["currency"]):
            yield f"Action {action['id']} is about another sum than authorization {grant['id']}."


def _faults_of_entry(entry: Mapping[str, Any], heads: dict[int, str] | None) -> Iterator[str]:
    proof = entry["proof"]
    if proof is None:
        return
    for fault in check_proof(proof, heads=heads):
        yield f"Entry {entry['id']}: {fault}"
    sealed, texts = json.loads(proof["entry"]), proof["texts"]
    shown: Bundle = {"id": sealed["id"], "verb": sealed["verb"], "subject_id": sealed["subject_id"]}
    # What was erased since has no text to compare.
    shown |= {name: texts[name] for name in ("actor", "reason") if texts[name] is not None}
    shown |= {name: json.loads(texts[name]) for name in ("before", "after") if texts[name] is not None}
    for name, value in shown.items():
        if entry[name] != value:
            yield f"Entry {entry['id']}: its {name} here is not the one that was sealed."
