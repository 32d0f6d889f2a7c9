"""What a gateway listed against what the desk has, as differences. Nothing is changed here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from integrations.gateways import Receipt
from integrations.models import Action, Connection, Payment, Refund
from integrations.states import ActionState, BreakKind
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from workflows.models import Case

# What is younger may still be on its way to the desk: news takes a moment, and an answer may be late.
UNDER_WAY = timedelta(minutes=5)
_SENT = (ActionState.SUCCEEDED, ActionState.VERIFIED, ActionState.MISMATCHED)
_IN_FLIGHT = (ActionState.RESERVED, ActionState.SENDING, ActionState.UNKNOWN)
FAILED = Refund.Status.FAILED


@dataclass(frozen=True, slots=True)
class Difference:
    """One refund about which the two sides differ."""

    kind: BreakKind
    reference: str
    payment_reference: str
    words: str
    ours: Money | None = None
    theirs: Money | None = None
    payment: Payment | None = None
    case_id: int | None = None
    key: UUID | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was listed, confirmed as missing there, and what differs. `both`: refunds both sides have."""

    differences: Sequence[Difference]
    references: frozenset[str]
    both: int


class Books:
    """The desk's side of a comparison: its refunds, payments and actions, read in a few statements."""

    def __init__(self, connection: Connection, receipts: Sequence[Receipt], missing: Sequence[str]) -> None:
        self.connection = connection
        references = [*(receipt.reference for receipt in receipts), *missing]
        rows = Refund.objects.filter(payment__connection=connection, reference__in=references)
        self.refunds = {row.reference: row for row in rows.select_related("payment")}
        keys = [receipt.key for receipt in receipts if receipt.key]
        self.actions: Mapping[UUID, Action] = {row.key: row for row in Action.objects.filter(key__in=keys)}
        self.by_reference: Mapping[str, Action] = {
            row.external_reference: row
            for row in Action.objects.filter(connection=connection, external_reference__in=references)
        }
        payments = Payment.objects.filter(
            connection=connection, reference__in={receipt.payment for receipt in receipts}
        )
        self.payments = {row.reference: row for row in payments}

    def own(self, action: Action) -> bool:
        """Whether it is of the organization whose books these are."""
        return action.organization_id == self.connection.organization_id

    def case_of(self, receipt: Receipt) -> int | None:
        """The case that a refund under an unknown key was made for: named by it, and of the same payment.

        Numbers of cases repeat after a restore, so the name alone proves nothing.
        """
        number = receipt.case.removeprefix("CASE-")
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            return None
        mine = Case.objects.filter(pk=int(number), organization_id=self.connection.organization_id)
        return mine.filter(target=receipt.payment).values_list("pk", flat=True).first()


def unlisted(connection: Connection, since: datetime, listed: set[str]) -> list[str]:
    """References that the desk holds for refunds of that time and the gateway did not list."""
    until = clock.now() - UNDER_WAY
    mine = Refund.objects.filter(payment__connection=connection, created_at__gte=since, created_at__lt=until)
    sent = Action.objects.filter(connection=connection, state__in=_SENT, succeeded_at__gte=since)
    sent = sent.filter(succeeded_at__lt=until).exclude(external_reference="")
    known = set(mine.exclude(status=FAILED).values_list("reference", flat=True))
    known |= set(sent.values_list("external_reference", flat=True))
    return sorted(known - listed)


def compare(books: Books, receipts: Sequence[Receipt], missing: Sequence[str], *, patient: bool) -> Comparison:
    """All differences. `missing`: references that the gateway says it does not have.

    `patient`: what is young, or in a worker's hands, is left to take its course; not so after a restore.
    """
    found = [difference for receipt in receipts for difference in _about(books, receipt, patient=patient)]
    found += [difference for reference in missing for difference in _missing_there(books, reference)]
    both = sum(receipt.reference in books.refunds for receipt in receipts)
    return Comparison(found, frozenset([*missing, *(receipt.reference for receipt in receipts)]), both)


def _about(books: Books, receipt: Receipt, *, patient: bool) -> Iterator[Difference]:
    row = books.refunds.get(receipt.reference)
    if row is None and patient and receipt.created_at > clock.now() - UNDER_WAY:
        return
    lost = _lost_intent(books, receipt, row)
    if lost is not None:
        yield lost
    if row is not None:
        yield from _differs(books, row, receipt, patient=patient)
    elif lost is None:
        yield from _unknown_here(books, receipt)


def _lost_intent(books: Books, receipt: Receipt, row: Refund | None) -> Difference | None:
    """An effect under a key of ours that no intent accounts for, whether or not its refund was counted meanwhile."""
    if receipt.key is None or receipt.status == FAILED:
        return None
    action = books.actions.get(receipt.key)
    if action is not None and (action.state != ActionState.FAILED or row is not None or not books.own(action)):
        return None
    what = "which the desk holds to have failed" if action is not None else "which the desk no longer knows"
    return Difference(
        BreakKind.LOST_INTENT,
        words=f"The gateway refunded {receipt.amount} under a key of this desk, {what}.",
        case_id=action.case_id if action is not None else books.case_of(receipt),
        **_common(receipt, row.payment if row is not None else books.payments.get(receipt.payment)),
    )


def _unknown_here(books: Books, receipt: Receipt) -> Iterator[Difference]:
    payment = books.payments.get(receipt.payment)
    action = books.actions.get(receipt.key) if receipt.key else None
    if action is not None and not books.own(action):
        return  # another organization's, over the same account
    if action is not None and action.state in _IN_FLIGHT:
        return  # the sender looks it up by its key
    # Of payments that no case was ever about, the desk keeps no books.
    if payment is not None and receipt.status != FAILED:
        yield Difference(
            BreakKind.MISSING_HERE,
            words=f"The gateway refunded {receipt.amount}; the desk has not heard of it.",
            case_id=action.case_id if action is not None else None,
            **_common(receipt, payment),
        )


def _differs(books: Books, row: Refund, receipt: Receipt, *, patient: bool) -> Iterator[Difference]:
    ours, theirs = Money(row.amount_minor, row.currency), receipt.amount
    action = books.by_reference.get(row.reference)
    common = _common(receipt, row.payment) | {"ours": ours, "case_id": action.case_id if action else None}
    if ours.currency != theirs.currency:
        yield Difference(BreakKind.CURRENCY, words=f"The gateway refunded {theirs}, the desk has {ours}.", **common)
    elif ours.minor != theirs.minor:
        yield Difference(BreakKind.AMOUNT, words=f"The gateway refunded {theirs}, the desk has {ours}.", **common)
    if row.status != receipt.status and not (patient and _takes_its_course(action, receipt, row)):
        words = f"The refund of {theirs} is {receipt.status} at the gateway and {row.status} for the desk."
        yield Difference(BreakKind.STATUS, words=words, **common)


def _takes_its_course(action: Action | None, receipt: Receipt, row: Refund) -> bool:
    """Whether the desk is about to learn of the other outcome by itself."""
    looked_at_again = action is not None and action.due_at is not None
    young = receipt.created_at > clock.now() - UNDER_WAY
    return looked_at_again or young or row.payment.reread_at is not None


def _missing_there(books: Books, reference: str) -> Iterator[Difference]:
    row, action = books.refunds.get(reference), books.by_reference.get(reference)
    payment: Payment | None = action.payment if action is not None else None
    ours = action.amount if action is not None else None
    if row is not None:
        ours, payment = Money(row.amount_minor, row.currency), row.payment
    if payment is None or ours is None:
        return
    yield Difference(
        BreakKind.MISSING_THERE,
        reference=reference,
        payment_reference=payment.reference,
        payment=payment,
        words=f"The desk has a refund of {ours} that the gateway does not know.",
        ours=ours,
        case_id=action.case_id if action else None,
    )


def _common(receipt: Receipt, payment: Payment | None) -> dict[str, Any]:
    return {
        "reference": receipt.reference,
        "payment_reference": receipt.payment,
        "payment": payment,
        "theirs": receipt.amount,
        "key": receipt.key,
    }
