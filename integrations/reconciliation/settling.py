"""What a person does about a difference. Nothing of it is mended by the desk alone."""

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from integrations.models import Break, Payment
from integrations.reconciliation import effects
from integrations.reconciliation.breaks import REMEDIES
from integrations.states import BreakState, Remedy
from opsdesk.lib import queue
from opsdesk.lib.errors import DomainError
from workflows import cases
from workflows.models import Case

LONGEST_REASON = 300


class AlreadySettled(DomainError):
    """Somebody else was first, or it no longer differs."""

    message = "This difference is closed already."


class NotSo(DomainError):
    """The remedy does not fit the difference, or the case is not its case."""


class ReasonMissing(DomainError):
    """The audit log keeps why."""

    message = "Say why in a few words."


@transaction.atomic
def settle(break_id: int, *, by: User, remedy: Remedy, reason: str, case_id: int | None = None) -> Break:
    """Close a difference. Raises AlreadySettled, NotSo, ReasonMissing.

    `case_id` says for IT_WAS which case it was for, where the desk could not tell.
    """
    reason = reason.strip()[:LONGEST_REASON]
    if not reason:
        raise ReasonMissing
    found = Break.objects.select_related("connection").get(pk=break_id)
    case = _case_of(found, case_id) if remedy == Remedy.IT_WAS else None
    found = Break.objects.select_for_update(of=("self",)).select_related("connection").get(pk=break_id)
    if found.state != BreakState.OPEN:
        raise AlreadySettled
    if remedy not in REMEDIES[found.kind]:
        raise NotSo(f"That does not help here: {found.words}")
    closed = {"closed_at": Now(), "settled_by": by, "remedy": remedy, "reason": reason}
    if remedy == Remedy.TAKE_OVER:
        # Read afresh rather than copied from the report: it may be a day old.
        Payment.objects.filter(breaks=found).update(reread_at=Now(), told_refunded_minor=None)
        queue.ring("integrations.send_due")
    if case is not None:
        found.case = case
        closed["case"] = case
        effects.go_on_after(found, by=by, reason=reason)
    found.move_to(BreakState.SETTLED, **closed)
    record(
        "integrations.break.settled",
        actor=Actor.person(by),
        organization_id=found.organization_id,
        subject=("break", found.pk),
        case_id=found.case_id,
        after={"kind": found.kind, "refund": found.reference, "remedy": remedy},
        reason=reason,
    )
    return found


def _case_of(found: Break, case_id: int | None) -> Case:
    """The case it was for, under its lock: the one the desk found, or the one a person names. Raises NotSo."""
    wanted = int(found.case_id or case_id or 0)
    mine = Case.objects.filter(pk=wanted, organization_id=found.organization_id)
    if not mine.filter(target=found.payment_reference).exists():
        raise NotSo(f"Name a case about the payment {found.payment_reference}.")
    return cases.locked(wanted)
