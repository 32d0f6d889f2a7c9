"""Payments and refunds at Stripe, or whoever speaks its dialect."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar, TypeVar
from uuid import UUID

from integrations.connectors.stripe import documents
from integrations.connectors.stripe.amounts import to_stripe
from integrations.connectors.stripe.documents import CHARGE, INTENT, KEY_FIELD, REFUND, Document, Odd
from integrations.errors import CallFailed
from integrations.gateways import PaymentSeen, Receipt
from integrations.http import Answer, Door, Limits
from integrations.models import Call, Connection
from integrations.operations import Effect, Extent, Field, Idempotency, Intent, Operation, Replays, Reversal
from integrations.operations import Seen as SeenEffect
from opsdesk.lib.money import BadAmount, Money
from workflows.states import FailureKind

PAGE = 100
MOST_PAGES = 20
# Of a whole account, in the time that a reconciliation looks back.
MOST_PAGES_OF_ALL = 1_000
Seen = TypeVar("Seen")


REFUNDS = Operation(
    name="refund",
    label="Refund",
    fields=(
        Field("payment", "text", "Payment the money goes back to", granted=True),
        Field("amount", "money", "How much goes back", granted=True),
    ),
    moves_money=True,
    reversal=Reversal(
        Extent.PARTIAL,
        "A refund that waits for the customer's details is canceled, and the money stays with the payment.",
        by="cancel",
        while_held=True,
        until="until the customer has said where the money goes",
        instead="One that was paid is final: the customer can only be asked to send it back.",
    ),
    idempotency=Idempotency(
        # An hour less than Stripe promises: clocks differ, and a call may wait on its way.
        key_life=timedelta(hours=23),
        replays=Replays.EVERYTHING,
        looks_up=True,
    ),
    verified_by="The refund is read and compared with what was authorized.",
)
# https://docs.stripe.com/api/refunds/cancel
CANCEL = Operation(
    name="cancel",
    label="Cancel a refund",
    fields=(
        Field("original_key", "text", "The key under which it was refunded", granted=True),
        Field("original_reference", "text", "The refund", granted=True),
    ),
    moves_money=False,  # what has not left stays; the payment's books follow from the refund itself
    reversal=Reversal(Extent.NONE, "A canceled refund stays canceled.", instead="Refund anew."),
    idempotency=REFUNDS.idempotency,
    verified_by="The refund is read and must be canceled.",
    undoes="refund",
)


class StripeGateway:
    """Knows payments and refunds. A payment is a payment intent (`pi_…`) or, in older shops, a charge (`ch_…`, `py_…`).

    Idempotency, as documented at https://docs.stripe.com/api/idempotent_requests: the first answer to a key is
    kept and repeated for at least 24 hours, a 500 included; other parameters under the same key are refused.
    """

    operations: ClassVar[Sequence[Operation]] = (REFUNDS, CANCEL)

    def __init__(self, connection: Connection, *, limits: Limits | None = None) -> None:
        self.calls: list[Call] = []
        self._name = connection.name
        self._door = Door(connection, self.calls, limits=limits)

    def perform(self, operation: str, intent: Intent) -> Effect:
        """Refund what the intent says, or cancel the refund that it names."""
        if operation == CANCEL.name:
            return self._cancel(intent)
        if intent.amount is None:
            raise CallFailed(FailureKind.DATA, "A refund needs an amount.", effect_possible=False)
        return self.refund(payment=intent.target, amount=intent.amount, key=intent.key, case=intent.case)

    def look_up(self, operation: str, intent: Intent) -> Effect | None:
        """Our refund, found by our key among those of the payment; or the refund that was to be canceled, if it is."""
        if operation == CANCEL.name:
            found = self._canceled(intent, self._get(self._refund_path(intent), "look up refund"))
            return found if found.status == "succeeded" else None
        return self.find_refund(payment=intent.target, key=intent.key)

    def read_back(self, operation: str, intent: Intent, reference: str) -> Effect:
        """The refund as it is now."""
        if operation == CANCEL.name:
            return self._canceled(intent, self._get(self._refund_path(intent), "read refund"))
        return self.retrieve_refund(reference)

    def _cancel(self, intent: Intent) -> SeenEffect:
        """Call off a refund that waits for the customer; any other is refused there."""
        headers = {"Idempotency-Key": str(intent.key)}
        path = f"{self._refund_path(intent)}/cancel"
        return self._canceled(
            intent, self._door.send("POST", path, operation="cancel refund", form=[], headers=headers)
        )

    def _refund_path(self, intent: Intent) -> str:
        refund = str(intent.fields.get("original_reference", ""))
        self._check(REFUND, refund, "refund")
        return f"/v1/refunds/{refund}"

    def _canceled(self, intent: Intent, answer: Answer) -> SeenEffect:
        """What an answer shows of the cancelation: done, or certainly not; it is never under way."""
        status = self._read(answer, documents.refund_status)
        differs = "" if status == "canceled" else f"The refund is {status}, not canceled."
        refund = str(intent.fields["original_reference"])
        return SeenEffect(refund, "succeeded" if status == "canceled" else "failed", intent.key, differs)

    def payment(self, reference: str) -> PaymentSeen:
        """The payment as it is now; one that was never captured has nothing captured."""
        if CHARGE.fullmatch(reference):
            answer = self._get(f"/v1/charges/{reference}", "read payment")
            intent = self._read(answer, documents.intent_of)
            if intent:
                # One payment under two names would be counted twice.
                message = f"{reference} belongs to payment {intent}: name that one."
                raise answer.failed(FailureKind.DATA, message, effect_possible=False)
        else:
            self._check(INTENT, reference, "payment")
            query = [("expand[]", "latest_charge")]
            answer = self._get(f"/v1/payment_intents/{reference}", "read payment", query)
        return self._read(answer, partial(documents.payment_seen, reference=reference))

    def refund(self, *, payment: str, amount: Money, key: UUID, case: str) -> Receipt:
        """Give back `amount` of a payment. The receipt tells what the gateway did, which may differ."""
        try:
            number = to_stripe(amount)
        except BadAmount as bad:
            raise CallFailed(FailureKind.DATA, str(bad), effect_possible=False) from bad
        form = [
            (self._field_of(payment), payment),
            ("amount", str(number)),
            (f"metadata[{KEY_FIELD}]", str(key)),
            ("metadata[case]", case),
        ]
        headers = {"Idempotency-Key": str(key)}
        answer = self._door.send("POST", "/v1/refunds", operation="refund", form=form, headers=headers)
        receipt = self._read(answer, partial(documents.receipt, payment=payment))
        if receipt.amount.currency != amount.currency:
            raise answer.odd(f"{self._name} refunded in {receipt.amount.currency}, not in {amount.currency}.")
        return receipt

    def find_refund(self, *, payment: str, key: UUID) -> Receipt | None:
        """The refund of a payment that was made with our key, if there is one."""
        ours = None
        for answer, item in self._list_refunds(payment, "look up refund"):
            if self._read(answer, documents.key_of, item) != key:
                continue
            if ours is not None:
                message = f"{self._name} has two refunds of {payment} under one key."
                raise answer.failed(FailureKind.DATA, message, effect_possible=True)
            ours = self._read(answer, partial(documents.receipt, payment=payment), item)
        return ours

    def retrieve_refund(self, reference: str) -> Receipt:
        """One refund as it is now."""
        self._check(REFUND, reference, "refund")
        return self._read(self._get(f"/v1/refunds/{reference}", "read refund"), documents.receipt)

    def refunds_of(self, payment: str) -> Sequence[Receipt]:
        """All refunds of a payment, newest first, ours or not."""
        return [
            self._read(answer, partial(documents.receipt, payment=payment), item)
            for answer, item in self._list_refunds(payment, "list refunds")
        ]

    def refunds_since(self, moment: datetime) -> Iterator[Receipt]:
        """Every refund of the account made at or after a moment, newest first, whosoever payment it is of."""
        query = [("created[gte]", str(int(moment.timestamp()))), ("limit", str(PAGE))]
        for answer, item in self._list(query, "list all refunds", MOST_PAGES_OF_ALL):
            yield self._read(answer, documents.receipt, item)

    def refund_as_it_is(self, reference: str) -> Receipt | None:
        """One refund as it is now; None when the gateway says that there is none."""
        self._check(REFUND, reference, "refund")
        answer = self._get(f"/v1/refunds/{reference}", "read refund")
        return None if answer.status == 404 else self._read(answer, documents.receipt)

    def _list_refunds(self, payment: str, operation: str) -> Iterator[tuple[Answer, Document]]:
        query = [(self._field_of(payment), payment), ("limit", str(PAGE))]
        return self._list(query, operation, MOST_PAGES)

    def _list(
        self, query: Sequence[tuple[str, str]], operation: str, most_pages: int
    ) -> Iterator[tuple[Answer, Document]]:
        after: list[tuple[str, str]] = []
        for _ in range(most_pages):
            answer = self._get("/v1/refunds", operation, [*query, *after])
            items, more = self._read(answer, documents.page)
            for item in items:
                yield answer, item
            if not more:
                return
            last = str(items[-1].get("id", "")) if items else ""
            if not last or after == [("starting_after", last)]:
                raise answer.odd(f"{self._name} promises more refunds but does not say which come next.")
            after = [("starting_after", last)]
        what = "of one payment" if most_pages == MOST_PAGES else "in that time"
        raise answer.odd(f"{self._name} lists more than {PAGE * most_pages} refunds {what}.")

    def _get(self, path: str, operation: str, query: Sequence[tuple[str, str]] = ()) -> Answer:
        return self._door.send("GET", path, operation=operation, query=query)

    def _field_of(self, payment: str) -> str:
        """The parameter that names a payment."""
        if CHARGE.fullmatch(payment):
            return "charge"
        self._check(INTENT, payment, "payment")
        return "payment_intent"

    def _check(self, pattern: re.Pattern[str], reference: str, kind: str) -> None:
        if not pattern.fullmatch(reference):
            message = f"{reference[:40]!r} is no {kind} reference of {self._name}."
            raise CallFailed(FailureKind.DATA, message, effect_possible=False)

    def _read(self, answer: Answer, read: Callable[[Document], Seen], part: Document | None = None) -> Seen:
        """Understand an answer, or a part of it; whatever is no 2xx or reads oddly raises CallFailed."""
        if not answer.ok:
            raise self._refusal(answer)
        try:
            return read(part or answer.data or {})
        except Odd as odd:
            raise answer.odd(f"{self._name} answered oddly: {odd}.") from odd

    def _refusal(self, answer: Answer) -> CallFailed:
        error = (answer.data or {}).get("error")
        error = error if isinstance(error, dict) else {}
        said = str(error.get("message") or f"status {answer.status}")
        if answer.status >= 500 and answer.headers.get("Idempotent-Replayed") == "true":
            # The same key brings the same error until it expires: only a look-up tells what happened.
            message = f"{self._name} repeats the error it stored for this key: {said}"
            return answer.failed(FailureKind.DATA, message, effect_possible=True)
        if error.get("type") == "idempotency_error":
            # The key was used before, for something else or just now by another call that is still going on.
            kind = FailureKind.TRANSIENT if answer.status == 409 else FailureKind.DATA
            return answer.failed(kind, f"{self._name}: {said}", effect_possible=True)
        return answer.refusal(f"{self._name}: {said}")
