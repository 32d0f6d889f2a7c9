"""Payment intents and their charges: create, confirm, capture, cancel, read, list."""

from __future__ import annotations

import json
import re
import sqlite3

from opsdesk.sandbox.gateway import documents
from opsdesk.sandbox.gateway.dialect import ApiError, Params, new_id
from opsdesk.sandbox.gateway.documents import Document
from opsdesk.sandbox.gateway.ledger import Turn
from opsdesk.sandbox.gateway.lists import CHARGES, CUSTOMERS, EVENTS, PAYMENT_INTENTS, page


def create_payment_intent(turn: Turn, params: Params) -> Document:
    """https://docs.stripe.com/api/payment_intents/create"""
    params.only(
        "amount", "currency", "confirm", "capture_method", "payment_method", "payment_method_types",
        "customer", "description", "metadata", "automatic_payment_methods", "return_url", "off_session",
    )  # fmt: skip
    params.required("amount")
    amount = params.integer("amount")
    currency = params.required("currency").lower()
    if not re.fullmatch("[a-z]{3}", currency):
        raise ApiError(400, f"Invalid currency: {currency}.", param="currency")
    customer = params.text("customer")
    if customer is not None:
        CUSTOMERS.find(turn, customer, param="customer", status=400, executed=True)
    method = params.text("payment_method")
    capture = params.choice("capture_method", "automatic", "automatic_async", "manual") or "automatic"
    confirm = params.flag("confirm")
    payment = new_id("pi")
    turn.db.execute(
        "INSERT INTO payments (id, status, amount, currency, created, capture_method, payment_method,"
        " customer, description, metadata) VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            payment,
            "requires_confirmation" if method else "requires_payment_method",
            amount,
            currency,
            int(turn.now),
            capture,
            method,
            customer,
            params.text("description"),
            json.dumps(params.metadata() or {}),
        ),
    )
    if confirm:
        _confirm(turn, _row(turn, payment), method)
    return documents.payment_intent(_row(turn, payment))


def confirm_payment_intent(turn: Turn, params: Params, payment: str) -> Document:
    """https://docs.stripe.com/api/payment_intents/confirm"""
    params.only("payment_method", "return_url", "off_session")
    _confirm(turn, _row(turn, payment), params.text("payment_method"))
    return documents.payment_intent(_row(turn, payment))


def capture_payment_intent(turn: Turn, params: Params, payment: str) -> Document:
    """https://docs.stripe.com/api/payment_intents/capture"""
    params.only("amount_to_capture", "metadata")
    amount = params.integer("amount_to_capture")
    row = _row(turn, payment)
    _expect(row, "captured", "requires_capture")
    if amount is not None and amount > row["amount"]:
        raise ApiError(
            400,
            "The payment intent could not be captured because the requested capture amount is greater than "
            f"the amount you can capture for this charge ({row['amount']}).",
            code="amount_too_large",
            param="amount_to_capture",
            executed=True,
        )
    _take_money(turn, row, amount or row["amount"])
    return documents.payment_intent(_row(turn, payment))


def cancel_payment_intent(turn: Turn, params: Params, payment: str) -> Document:
    """https://docs.stripe.com/api/payment_intents/cancel"""
    params.only("cancellation_reason")
    row = _row(turn, payment)
    _expect(row, "canceled", "requires_payment_method", "requires_confirmation", "requires_capture")
    turn.db.execute("UPDATE payments SET status = 'canceled' WHERE id = ?", (payment,))
    document = documents.payment_intent(_row(turn, payment))
    turn.emit("payment_intent.canceled", document)
    return document


def retrieve_payment_intent(turn: Turn, params: Params, payment: str) -> Document:
    """https://docs.stripe.com/api/payment_intents/retrieve"""
    params.only("client_secret")
    return documents.payment_intent(_row(turn, payment))


def list_payment_intents(turn: Turn, params: Params) -> Document:
    """https://docs.stripe.com/api/payment_intents/list"""
    return page(turn, params, PAYMENT_INTENTS)


def retrieve_charge(turn: Turn, params: Params, charge: str) -> Document:
    """https://docs.stripe.com/api/charges/retrieve"""
    params.only()
    return documents.charge(CHARGES.find(turn, charge))


def list_charges(turn: Turn, params: Params) -> Document:
    """https://docs.stripe.com/api/charges/list"""
    return page(turn, params, CHARGES)


def retrieve_customer(turn: Turn, params: Params, customer: str) -> Document:
    """https://docs.stripe.com/api/customers/retrieve"""
    params.only()
    return documents.customer(CUSTOMERS.find(turn, customer))


def retrieve_event(turn: Turn, params: Params, event: str) -> Document:
    """https://docs.stripe.com/api/events/retrieve"""
    params.only()
    return documents.event(EVENTS.find(turn, event))


def list_events(turn: Turn, params: Params) -> Document:
    """https://docs.stripe.com/api/events/list"""
    return page(turn, params, EVENTS)


def _row(turn: Turn, payment: str) -> sqlite3.Row:
    return PAYMENT_INTENTS.find(turn, payment, param="intent")


def _expect(row: sqlite3.Row, done: str, *states: str) -> None:
    if row["status"] not in states:
        raise ApiError(
            400,
            f"This PaymentIntent could not be {done} because it has a status of {row['status']}. Only a "
            f"PaymentIntent with one of the following statuses may be {done}: {', '.join(states)}.",
            code="payment_intent_unexpected_state",
            executed=True,
        )


def _confirm(turn: Turn, row: sqlite3.Row, method: str | None) -> None:
    """Charge the card: the money is taken now, or held until captured."""
    _expect(row, "confirmed", "requires_payment_method", "requires_confirmation")
    method = method or row["payment_method"]
    if method is None:
        raise ApiError(
            400,
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
            executed=True,
        )
    turn.db.execute(
        "UPDATE payments SET charge = ?, payment_method = ?, status = 'requires_capture' WHERE id = ?",
        (new_id("ch"), method, row["id"]),
    )
    if row["capture_method"] == "manual":
        turn.emit("payment_intent.amount_capturable_updated", documents.payment_intent(_row(turn, row["id"])))
    else:
        _take_money(turn, row, row["amount"])


def _take_money(turn: Turn, row: sqlite3.Row, amount: int) -> None:
    turn.db.execute("UPDATE payments SET status = 'succeeded', captured = ? WHERE id = ?", (amount, row["id"]))
    taken = _row(turn, row["id"])
    turn.emit("charge.succeeded", documents.charge(taken))
    turn.emit("payment_intent.succeeded", documents.payment_intent(taken))
