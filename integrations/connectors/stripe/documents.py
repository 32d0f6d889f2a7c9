"""Stripe's objects read into the desk's words. Whatever is missing or of another type raises Odd."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from integrations.connectors.stripe.amounts import from_stripe
from integrations.gateways import PaymentSeen, Receipt
from opsdesk.lib.money import LARGEST, BadAmount, Money

KEY_FIELD = "opsdesk_key"
CHARGE = re.compile(r"(?:ch|py)_[A-Za-z0-9_]{1,90}")
INTENT = re.compile(r"pi_[A-Za-z0-9_]{1,90}")
REFUND = re.compile(r"(?:re|pyr)_[A-Za-z0-9_]{1,90}")
_STATUS = {
    "pending": "pending",
    "requires_action": "pending",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
Document = Mapping[str, Any]


class Odd(Exception):
    """A document is not what Stripe documents."""


def payment_seen(document: Document, reference: str) -> PaymentSeen:
    """A payment intent with its latest charge expanded, or a charge."""
    if document.get("object") == "charge":
        charge: Document | None = document
    else:
        _expect(document, "payment_intent")
        charge = _part(document, "latest_charge")
    _same(document, "id", reference)
    return PaymentSeen(
        reference=reference,
        captured=_captured(charge, document),
        refunded=_amount(charge or document, "amount_refunded") if charge else _nothing(document),
        status=_text(document, "status"),
        order=_label(document, "order"),
        customer=_customer(document),
        created_at=moment(document.get("created")),
    )


def receipt(document: Document, *, payment: str = "") -> Receipt:
    """A refund; with `payment` it must be one of that payment."""
    _expect(document, "refund")
    intent, charge = _reference(document, "payment_intent"), _reference(document, "charge")
    if payment and payment not in {intent, charge}:
        raise Odd(f"the refund belongs to {intent or charge or 'no payment'}, not to {payment}")
    belongs_to = payment or intent or charge
    if not belongs_to:
        raise Odd("the refund belongs to no payment")
    status = _text(document, "status")
    if status not in _STATUS:
        raise Odd(f"the refund is {status[:30]!r}, a state nobody knows")
    return Receipt(
        cancelable=status == "requires_action",
        reference=_text(document, "id"),
        payment=belongs_to,
        amount=_amount(document, "amount"),
        status=_STATUS[status],
        created_at=moment(document.get("created")),
        key=key_of(document),
        case=_label(document, "case"),
    )


def refund_status(document: Document) -> str:
    """A refund's own word for how it stands."""
    _expect(document, "refund")
    return _text(document, "status")


def intent_of(document: Document) -> str:
    """The payment intent a charge belongs to; empty for one made without."""
    return _reference(document, "payment_intent")


def page(document: Document) -> tuple[list[Document], bool]:
    """The objects of a list, and whether there are more."""
    _expect(document, "list")
    items, more = document.get("data"), document.get("has_more")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Odd("the list has no data")
    if not isinstance(more, bool):
        raise Odd("the list does not say whether there is more")
    return items, more


def key_of(document: Document) -> UUID | None:
    """Our key in a refund, if it is one of ours."""
    try:
        return UUID(_label(document, KEY_FIELD))
    except ValueError:
        return None


def moment(seconds: object) -> datetime:
    """A time as Stripe writes it: whole seconds since 1970."""
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds < 10**11:
        raise Odd("a time is not one")
    return datetime.fromtimestamp(seconds, UTC)


def _captured(charge: Document | None, document: Document) -> Money:
    if charge is None:
        return _nothing(document)
    if charge.get("captured") is not True or charge.get("status") != "succeeded":
        return _nothing(document)
    # A charge that says only that it was captured was captured whole.
    return _amount(charge, "amount_captured" if "amount_captured" in charge else "amount")


def _nothing(document: Document) -> Money:
    return Money(0, _amount(document, "amount").currency)


def _amount(document: Document, name: str) -> Money:
    number = document.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= LARGEST:
        raise Odd(f"{name} is no amount")
    try:
        return from_stripe(number, _text(document, "currency"))
    except BadAmount as bad:
        raise Odd(str(bad)) from bad


def _expect(document: Document, kind: str) -> None:
    if document.get("object") != kind:
        raise Odd(f"it is no {kind.replace('_', ' ')}")


def _same(document: Document, name: str, wanted: str) -> None:
    if _text(document, name) != wanted:
        raise Odd(f"it is not {wanted}")


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        raise Odd(f"{name} is missing")
    return value


def _part(document: Document, name: str) -> Document | None:
    """An expanded object, or None where there is none."""
    part = document.get(name)
    if part is not None and not isinstance(part, dict):
        raise Odd(f"{name} is not expanded")
    return part


def _reference(document: Document, name: str) -> str:
    """The identifier of an object that may be expanded or absent."""
    value = document.get(name)
    if isinstance(value, dict):
        value = value.get("id")
    if value is not None and not isinstance(value, str):
        raise Odd(f"{name} is no reference")
    return value or ""


def _metadata(document: Document) -> Document:
    metadata = document.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise Odd("the metadata is no object")
    return metadata


def _label(document: Document, name: str) -> str:
    value = _metadata(document).get(name, "")
    return value[:60] if isinstance(value, str) else ""


def _customer(document: Document) -> str:
    """The shop's own number where the shop left it, else the gateway's."""
    return _label(document, "customer") or _reference(document, "customer")[:60]
