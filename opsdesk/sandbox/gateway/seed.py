"""Filling the gateway with a past: customers and paid orders with chosen identifiers and dates."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

from opsdesk.sandbox.gateway.ledger import Turn
from opsdesk.sandbox.gateway.schema import Effect

ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
PAYMENT_FIELDS = frozenset(
    ("id", "charge", "amount", "captured", "refunded", "refunds", "currency", "created", "customer",
     "description", "metadata")
)  # fmt: skip
CUSTOMER_FIELDS = frozenset({"id", "name", "email", "created", "metadata"})
REFUND_FIELDS = frozenset({"id", "amount", "created"})


def plant(turn: Turn, wish: Any) -> dict[str, int]:
    """Create what does not exist yet; raises ValueError naming the first broken entry.

    A list means payments; an object may carry `customers` and `payments`. What was `refunded` before
    becomes a refund of its own, so that the books add up; `refunds` says instead which ones there were, each
    with its id, amount and moment. Nothing is announced by webhook.
    """
    if isinstance(wish, list):
        wish = {"payments": wish}
    if not isinstance(wish, dict) or not set(wish) <= {"customers", "payments"}:
        raise ValueError("Send a list of payments, or an object with customers and payments.")
    customers, payments = wish.get("customers", []), wish.get("payments", [])
    known_before = _count(turn)
    for number, entry in enumerate(customers):
        _plant_customer(turn, _checked("customer", number, entry, CUSTOMER_FIELDS))
    for number, entry in enumerate(payments):
        _plant_payment(turn, _checked("payment", number, entry, PAYMENT_FIELDS))
    return {"sent": len(customers) + len(payments), "created": _count(turn) - known_before}


def _count(turn: Turn) -> int:
    row = turn.one("SELECT (SELECT count(*) FROM payments) + (SELECT count(*) FROM customers)")
    return int(row[0]) if row else 0


def _checked(what: str, number: int, entry: Any, fields: frozenset[str]) -> dict[str, Any]:
    if not isinstance(entry, dict) or not ID.fullmatch(str(entry.get("id", ""))):
        raise ValueError(f"Entry {number} is not a {what} with an id.")
    if unknown := set(entry) - fields:
        raise ValueError(f"The {what} {entry['id']} has an unknown field {sorted(unknown)[0]!r}.")
    if not isinstance(entry.get("metadata", {}), dict):
        raise ValueError(f"The metadata of {entry['id']} is not an object.")
    return {**entry, "created": _moment(entry)}


def _moment(entry: dict[str, Any]) -> int:
    """Seconds since 1970 from a number or an ISO 8601 text; UTC where it names no zone."""
    given = entry.get("created", time.time())
    if isinstance(given, str):
        moment = datetime.fromisoformat(given)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    if isinstance(given, int | float) and not isinstance(given, bool):
        return int(given)
    raise ValueError(f"{entry['id']} was created at no moment: {given!r}.")


def _plant_customer(turn: Turn, entry: dict[str, Any]) -> None:
    turn.db.execute(
        "INSERT OR IGNORE INTO customers (id, name, email, created, metadata) VALUES (?,?,?,?,?)",
        (
            entry["id"],
            entry.get("name"),
            entry.get("email"),
            entry["created"],
            json.dumps(entry.get("metadata", {})),
        ),
    )


def _plant_payment(turn: Turn, entry: dict[str, Any]) -> None:
    past = _past_refunds(entry)
    amount, captured, refunded = _amounts(entry, past)
    currency = str(entry.get("currency", "")).lower()
    if not re.fullmatch("[a-z]{3}", currency):
        raise ValueError(f"{entry['id']} has no currency of three letters.")
    customer = entry.get("customer")
    if customer is not None:
        _plant_customer(turn, {"id": str(customer), "created": entry["created"]})
    charge = str(entry.get("charge") or f"ch_{entry['id'].removeprefix('pi_')}")
    planted = turn.db.execute(
        "INSERT OR IGNORE INTO payments (id, charge, status, amount, captured, refunded, currency, created,"
        " capture_method, payment_method, customer, description, metadata)"
        " VALUES (?,?,'succeeded',?,?,?,?,?,'automatic','pm_card_visa',?,?,?)",
        (
            entry["id"],
            charge,
            amount,
            captured,
            refunded,
            currency,
            entry["created"],
            customer,
            entry.get("description"),
            json.dumps(entry.get("metadata", {})),
        ),
    ).rowcount
    if not planted:
        if turn.one("SELECT 1 FROM payments WHERE id = ?", entry["id"]) is None:
            raise ValueError(f"The charge {charge} of {entry['id']} belongs to another payment.")
        return
    for refund in past:
        _plant_refund(turn, entry, charge, refund, currency)


def _past_refunds(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The refunds there were: those that are listed, else one over all that went back."""
    listed = entry.get("refunds")
    if listed is None:
        whole = {"id": f"re_{entry['id'].removeprefix('pi_')}_before", "amount": entry.get("refunded", 0)}
        return [{**whole, "created": entry["created"]}] if whole["amount"] else []
    if not isinstance(listed, list) or "refunded" in entry:
        raise ValueError(f"{entry['id']} needs a list of refunds, and then no sum beside it.")
    return [_checked("refund", number, refund, REFUND_FIELDS) for number, refund in enumerate(listed)]


def _amounts(entry: dict[str, Any], past: list[dict[str, Any]]) -> tuple[int, int, int]:
    amount: Any = entry.get("amount")
    captured: Any = entry.get("captured", amount)
    parts: list[Any] = [refund.get("amount") for refund in past]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (amount, captured, *parts))
    if not whole or any(n <= 0 for n in parts) or not sum(parts) <= captured <= amount or amount <= 0:
        raise ValueError(f"{entry['id']} needs whole amounts: 0 <= refunded <= captured <= amount > 0.")
    return amount, captured, sum(parts)


def _plant_refund(turn: Turn, entry: dict[str, Any], charge: str, refund: dict[str, Any], currency: str) -> None:
    taken = turn.db.execute(
        "INSERT OR IGNORE INTO refunds"
        " (id, payment, charge, status, amount, currency, created, metadata, origin)"
        " VALUES (?,?,?,'succeeded',?,?,?,'{}','seed')",
        (refund["id"], entry["id"], charge, refund["amount"], currency, refund["created"]),
    ).rowcount
    if not taken:
        raise ValueError(f"The refund {refund['id']} of {entry['id']} exists already.")
    row = turn.one("SELECT * FROM refunds WHERE id = ?", refund["id"])
    if row is not None:
        turn.effects.append(Effect("refund", row))
