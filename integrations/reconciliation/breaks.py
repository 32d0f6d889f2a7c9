"""The rows of differences: how they are made from a comparison, and told to the audit log."""

from collections.abc import Mapping, Sequence

from auditlog.services import Actor, entry, record_all
from integrations.models import Break, Reconciliation
from integrations.reconciliation.comparing import Difference
from integrations.states import BreakKind, Remedy

DESK = Actor.desk("reconciliation")
# What may be done about each kind, and what is suggested.
REMEDIES: Mapping[str, tuple[Remedy, ...]] = {
    BreakKind.MISSING_HERE: (Remedy.TAKE_OVER, Remedy.LEAVE),
    BreakKind.MISSING_THERE: (Remedy.LEAVE,),
    BreakKind.AMOUNT: (Remedy.TAKE_OVER, Remedy.LEAVE),
    BreakKind.CURRENCY: (Remedy.LEAVE,),
    BreakKind.STATUS: (Remedy.TAKE_OVER, Remedy.LEAVE),
    BreakKind.LOST_INTENT: (Remedy.IT_WAS, Remedy.LEAVE),
    BreakKind.NOT_DONE_HERE: (),
}
SUGGESTIONS: Mapping[str, str] = {
    BreakKind.MISSING_HERE: "Somebody refunded it past the desk, or its news was lost: take it over.",
    BreakKind.MISSING_THERE: "Ask the gateway with this reference. If it never was, the customer has no money yet: "
    "repair the case.",
    BreakKind.AMOUNT: "Take over what the gateway shows, and settle the rest with the customer.",
    BreakKind.CURRENCY: "Nothing can be taken over: settle it with the gateway, then say so here.",
    BreakKind.STATUS: "Take over what the gateway shows; a refund that failed brings its case back.",
    BreakKind.LOST_INTENT: "Say which case it was for: that case goes on after it, and nothing is sent again. "
    "Until then nothing is sent for its payment.",
    BreakKind.NOT_DONE_HERE: "Nothing: it was recorded before anything was sent.",
}


def break_of(row: Reconciliation, difference: Difference, **changes: object) -> Break:
    """The unsaved row of a difference."""
    ours, theirs = difference.ours, difference.theirs
    return Break(
        organization_id=row.organization_id,
        connection=row.connection,
        kind=difference.kind,
        reference=difference.reference,
        payment_reference=difference.payment_reference,
        payment=difference.payment,
        case_id=difference.case_id,
        key=difference.key,
        ours_minor=ours.minor if ours else None,
        ours_currency=ours.currency if ours else "",
        theirs_minor=theirs.minor if theirs else None,
        theirs_currency=theirs.currency if theirs else "",
        words=difference.words[:300],
        found_in=row,
        seen_in=row,
        **changes,
    )


def tell(verb: str, breaks: Sequence[Break]) -> None:
    """Write what happened to differences by the desk itself to the audit log."""
    record_all(
        entry(
            verb,
            actor=DESK,
            organization_id=each.organization_id,
            subject=("break", each.pk),
            case_id=each.case_id,
            after={"kind": each.kind, "refund": each.reference},
            reason=each.words,
        )
        for each in breaks
    )
