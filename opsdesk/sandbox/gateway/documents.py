"""Rows as the objects the dialect documents: payment intent, charge, refund, customer, list."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

Document = dict[str, Any]


def payment_intent(row: sqlite3.Row) -> Document:
    """https://docs.stripe.com/api/payment_intents/object"""
    return {
        "id": row["id"],
        "object": "payment_intent",
        "amount": row["amount"],
        "amount_capturable": row["amount"] if row["status"] == "requires_capture" else 0,
        "amount_received": row["captured"],
        "canceled_at": None,
        "capture_method": row["capture_method"],
        "client_secret": f"{row['id']}_secret_sandbox",
        "confirmation_method": "automatic",
        "created": row["created"],
        "currency": row["currency"],
        "customer": row["customer"],
        "description": row["description"],
        "last_payment_error": None,
        "latest_charge": row["charge"],
        "livemode": False,
        "metadata": json.loads(row["metadata"]),
        "next_action": None,
        "payment_method": row["payment_method"],
        "payment_method_types": ["card"],
        "receipt_email": None,
        "status": row["status"],
    }


def charge(row: sqlite3.Row) -> Document:
    """https://docs.stripe.com/api/charges/object"""
    return {
        "id": row["charge"],
        "object": "charge",
        "amount": row["amount"],
        "amount_captured": row["captured"],
        "amount_refunded": row["refunded"],
        "balance_transaction": f"txn_{row['charge'][3:]}",
        "captured": row["status"] == "succeeded",
        "created": row["created"],
        "currency": row["currency"],
        "customer": row["customer"],
        "description": row["description"],
        "disputed": False,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": json.loads(row["metadata"]),
        "paid": True,
        "payment_intent": row["id"],
        "payment_method": row["payment_method"],
        "payment_method_details": {"card": {"brand": "visa", "last4": "4242"}, "type": "card"},
        "refunded": row["refunded"] >= row["captured"] > 0,
        "status": "succeeded",
    }


def refund(row: sqlite3.Row) -> Document:
    """https://docs.stripe.com/api/refunds/object"""
    failed = row["status"] == "failed"
    number = row["id"][3:]
    return {
        "id": row["id"],
        "object": "refund",
        "amount": row["amount"],
        "balance_transaction": f"txn_{number}",
        "charge": row["charge"],
        "created": row["created"],
        "currency": row["currency"],
        "destination_details": {"card": {"reference_status": "pending", "type": "refund"}, "type": "card"},
        **({"failure_balance_transaction": f"txn_back_{number}"} if failed else {}),
        **({"failure_reason": row["failure_reason"]} if failed else {}),
        "metadata": json.loads(row["metadata"]),
        **({"next_action": _details_wanted(row)} if row["status"] == "requires_action" else {}),
        "payment_intent": row["payment"],
        "reason": row["reason"],
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": row["status"],
        "transfer_reversal": None,
    }


def _details_wanted(row: sqlite3.Row) -> Document:
    """The customer has 45 days to say where the money goes."""
    return {"display_details": {"expires_at": row["created"] + 45 * 86_400}, "type": "display_details"}


def customer(row: sqlite3.Row) -> Document:
    """https://docs.stripe.com/api/customers/object"""
    return {
        "id": row["id"],
        "object": "customer",
        "created": row["created"],
        "email": row["email"],
        "livemode": False,
        "metadata": json.loads(row["metadata"]),
        "name": row["name"],
    }


def event(row: sqlite3.Row) -> Document:
    """https://docs.stripe.com/api/events/object"""
    document: Document = json.loads(row["body"])
    return document


def listing(url: str, items: list[Document], *, has_more: bool) -> Document:
    """https://docs.stripe.com/api/pagination"""
    return {"object": "list", "data": items, "has_more": has_more, "url": url}
