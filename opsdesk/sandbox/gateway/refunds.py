"""Refunds: the money that goes back, and what may still become of it."""

from __future__ import annotations

import json
import sqlite3

from opsdesk.sandbox.gateway import documents
from opsdesk.sandbox.gateway.dialect import ApiError, Params, new_id, say_amount
from opsdesk.sandbox.gateway.documents import Document
from opsdesk.sandbox.gateway.ledger import Turn
from opsdesk.sandbox.gateway.lists import CHARGES, PAYMENT_INTENTS, REFUNDS, page
from opsdesk.sandbox.gateway.schema import Effect

REASONS = ("duplicate", "fraudulent", "requested_by_customer")
# States of a refund that has not reached the customer yet; faults of the same names bring them about.
HELD = ("pending", "requires_action")
FAILURE_REASONS = (
    "charge_for_pending_refund_disputed", "declined", "expired_or_canceled_card", "insufficient_funds",
    "lost_or_stolen_card", "merchant_request", "unknown",
)  # fmt: skip


def create_refund(turn: Turn, params: Params) -> Document:
    """https://docs.stripe.com/api/refunds/create"""
    params.only("charge", "payment_intent", "amount", "reason", "metadata", "instructions_email")
    amount = params.integer("amount")
    reason = params.choice("reason", *REASONS)
    metadata = json.dumps(params.metadata() or {})
    payment = _payment_to_refund(turn, params)
    left = payment["captured"] - payment["refunded"]
    if amount is None:
        amount = left
    amount = _lie(turn, amount, left)
    _refuse_too_much(turn, payment, amount, left)
    refund = new_id("re")
    turn.db.execute("UPDATE payments SET refunded = refunded + ? WHERE id = ?", (amount, payment["id"]))
    turn.db.execute(
        "INSERT INTO refunds (id, payment, charge, status, amount, currency, created, reason, metadata,"
        " idempotency_key, origin, request) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            refund,
            payment["id"],
            payment["charge"],
            turn.fault.kind if turn.fault is not None and turn.fault.kind in HELD else "succeeded",
            amount,
            payment["currency"],
            int(turn.now),
            reason,
            metadata,
            turn.key,
            turn.origin,
            turn.request_id,
        ),
    )
    row = _row(turn, refund)
    turn.effects.append(Effect("refund", row))
    _plan_the_rest(turn, refund)
    document = documents.refund(row)
    turn.emit("refund.created", document)
    charge = documents.charge(PAYMENT_INTENTS.find(turn, payment["id"]))
    previous = {"amount_refunded": payment["refunded"], "refunded": False}
    turn.emit("charge.refunded", charge, previous)
    return document


def retrieve_refund(turn: Turn, params: Params, refund: str) -> Document:
    """https://docs.stripe.com/api/refunds/retrieve"""
    params.only()
    return documents.refund(_row(turn, refund))


def list_refunds(turn: Turn, params: Params) -> Document:
    """https://docs.stripe.com/api/refunds/list"""
    return page(turn, params, REFUNDS)


def update_refund(turn: Turn, params: Params, refund: str) -> Document:
    """https://docs.stripe.com/api/refunds/update: only metadata can change."""
    params.only("metadata")
    wanted = params.metadata()
    row = _row(turn, refund)
    before = json.loads(row["metadata"])
    after = {} if wanted == {} else {**before, **(wanted or {})}
    after = {name: value for name, value in after.items() if value != ""}
    turn.db.execute("UPDATE refunds SET metadata = ? WHERE id = ?", (json.dumps(after), refund))
    document = documents.refund(_row(turn, refund))
    if after != before:
        turn.emit("refund.updated", document, {"metadata": before})
    return document


def cancel_refund(turn: Turn, params: Params, refund: str) -> Document:
    """https://docs.stripe.com/api/refunds/cancel: only in `requires_action`; its money stays with the payment."""
    params.only()
    row = _row(turn, refund)
    if row["status"] != "requires_action":
        raise ApiError(
            400,
            "Only refunds with a status of requires_action can be canceled; "
            f"this refund has a status of {row['status']}.",
            executed=True,
        )
    turn.db.execute("UPDATE refunds SET status = 'canceled' WHERE id = ?", (refund,))
    return _take_back(turn, row)


def settle(turn: Turn, refund: str) -> Document:
    """A refund that was held, pending or until the customer says where to, arrives."""
    row = _row(turn, refund)
    if row["status"] not in HELD:
        raise ApiError(409, f"Only a pending refund can settle; {refund} is {row['status']}.")
    turn.db.execute("UPDATE refunds SET status = 'succeeded' WHERE id = ?", (refund,))
    document = documents.refund(_row(turn, refund))
    turn.emit("refund.updated", document, {"status": row["status"]})
    return document


def fail(turn: Turn, refund: str, reason: str) -> Document:
    """The bank sends the money back: the amount can be refunded again."""
    row = _row(turn, refund)
    if reason not in FAILURE_REASONS:
        raise ApiError(400, f"Unknown failure reason; known are {', '.join(FAILURE_REASONS)}.", param="reason")
    if row["status"] not in {*HELD, "succeeded"}:
        raise ApiError(409, f"Only a pending or succeeded refund can fail; {refund} is {row['status']}.")
    turn.db.execute("UPDATE refunds SET status = 'failed', failure_reason = ? WHERE id = ?", (reason, refund))
    document = _take_back(turn, row)
    turn.emit("refund.failed", document)
    return document


def _take_back(turn: Turn, row: sqlite3.Row) -> Document:
    """A refund has come to nothing: its money is with the payment again; `row` is the refund as it was before."""
    turn.db.execute("UPDATE payments SET refunded = refunded - ? WHERE id = ?", (row["amount"], row["payment"]))
    over = _row(turn, row["id"])
    turn.effects.append(Effect("refund_failed", over))
    document = documents.refund(over)
    turn.emit("refund.updated", document, {"status": row["status"]})
    return document


def _row(turn: Turn, refund: str) -> sqlite3.Row:
    return REFUNDS.find(turn, refund)


def _payment_to_refund(turn: Turn, params: Params) -> sqlite3.Row:
    named = [name for name in ("charge", "payment_intent") if name in params]
    if len(named) != 1:
        what = "One of the following params should be provided for this request"
        if named:
            what = "You may only specify one of these parameters"
        raise ApiError(400, f"{what}: payment_intent or charge.", code=None if named else "parameter_missing")
    name = named[0]
    kind = CHARGES if name == "charge" else PAYMENT_INTENTS
    return kind.find(turn, params.required(name), param=name, executed=True)


def _lie(turn: Turn, amount: int, left: int) -> int:
    """The fault `wrong_amount`: move another amount than asked, though never more than there is."""
    if turn.fault is None or turn.fault.kind != "wrong_amount":
        return amount
    wrong = amount + turn.fault.difference
    if wrong < 1:
        wrong = amount + 1
    return wrong if wrong <= left else amount


def _refuse_too_much(turn: Turn, payment: sqlite3.Row, amount: int, left: int) -> None:
    if payment["status"] != "succeeded":
        raise ApiError(
            400,
            f"This PaymentIntent ({payment['id']}) does not have a successful charge to refund.",
            code="charge_not_refundable" if payment["charge"] else "payment_intent_unexpected_state",
            executed=True,
        )
    if turn.allow_over_refund and amount > 0:
        return
    if left <= 0:
        raise ApiError(
            400,
            f"Charge {payment['charge']} has already been refunded.",
            code="charge_already_refunded",
            executed=True,
        )
    if amount > left:
        asked, open_amount = say_amount(amount, payment["currency"]), say_amount(left, payment["currency"])
        raise ApiError(
            400,
            f"Refund amount ({asked}) is greater than unrefunded amount on charge ({open_amount})",
            param="amount",
            executed=True,
        )


def _plan_the_rest(turn: Turn, refund: str) -> None:
    """The faults `pending=S`, `requires_action=S` and `fails_later=S`: what becomes of the refund after a while."""
    if turn.fault is None or turn.fault.kind not in {*HELD, "fails_later"} or not turn.fault.seconds:
        return
    change = "settle" if turn.fault.kind in HELD else "fail"
    turn.plans.append((turn.now + turn.fault.seconds, refund, change))
