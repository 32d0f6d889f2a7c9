"""Effects of ours that the gateway shows and a restored database does not know to be done: recorded as what they are.

Nothing acts until a person has read them, and nothing is ever sent beside one that nobody could place.
"""

from collections.abc import Collection, Sequence

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import record
from integrations import mirroring
from integrations.gateways import Receipt
from integrations.models import Action, Break, Payment, Reconciliation, Refund
from integrations.reconciliation.breaks import DESK, break_of, tell
from integrations.reconciliation.comparing import Difference
from integrations.states import ActionState, BreakKind, BreakState
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from workflows import cases
from workflows.engine import repairing
from workflows.engine.definitions import definition_of
from workflows.engine.outcomes import Done
from workflows.errors import StepFailed
from workflows.models import Case, Recovery, Run
from workflows.registry import moves_money
from workflows.states import CASE_FINAL, RUN_ACTIVE, FailureKind, RunState

_NOT_DONE = (ActionState.RESERVED, ActionState.SENDING, ActionState.UNKNOWN)


def record_all(row: Reconciliation, receipts: Sequence[Receipt]) -> int:
    """Record every listed effect of an intent that the desk holds to be open; returns how many."""
    by_key = {receipt.key: receipt for receipt in receipts if receipt.key}
    mine = Action.objects.filter(connection=row.connection, moves_money=True, key__in=by_key, state__in=_NOT_DONE)
    found = list(mine.order_by("case_id", "pk").values_list("pk", "case_id", "key"))
    return sum(_record(row, action_id, case_id, by_key[key]) for action_id, case_id, key in found)


@transaction.atomic
def _record(row: Reconciliation, action_id: int, case_id: int, receipt: Receipt) -> int:
    case = cases.locked(case_id)
    action = Action.objects.select_related("connection").get(pk=action_id)
    payment = Payment.objects.select_for_update(of=("self",)).get(actions=action.pk)
    action = Action.objects.select_for_update(of=("self",)).get(pk=action_id)
    if action.state not in _NOT_DONE:
        return 0
    action.case = case
    before = action.state
    mirroring.take_refund(payment, receipt, ours=action)
    # It was sent, whatever the row says; whoever still has it in hands writes nothing more.
    if action.state == ActionState.RESERVED:
        action.move_to(ActionState.SENDING, lease_until=clock.now())
    action.check_move(ActionState.SUCCEEDED)
    action.take_over(ActionState.SUCCEEDED)
    words = f"After a restore the gateway showed {receipt.reference} over {receipt.amount} under its key."
    action.external_reference, action.message = receipt.reference, words
    action.succeeded_at, action.first_sent_at = clock.now(), action.first_sent_at or receipt.created_at
    action.due_at, action.lease_until, action.epoch = clock.now(), None, action.epoch + 1
    action.save(
        update_fields=[
            *("state", "external_reference", "message", "succeeded_at", "first_sent_at", "due_at", "lease_until"),
            *("epoch", "holds_reservation"),
        ]
    )
    record(
        "integrations.action.found",
        actor=DESK,
        organization_id=action.organization_id,
        subject=("action", action.pk),
        case_id=case.pk,
        before={"state": before},
        after={"state": action.state, "refund": receipt.reference},
        reason=words,
    )
    difference = Difference(
        BreakKind.NOT_DONE_HERE, receipt.reference, receipt.payment, words, ours=action.amount, theirs=receipt.amount,
        payment=payment, case_id=case.pk, key=receipt.key,
    )  # fmt: skip
    noted = break_of(row, difference, state=BreakState.RECORDED, closed_at=clock.now())
    noted.save()
    tell("integrations.break.found", [noted])
    return 1


def exist(organization_id: int) -> bool:
    """Whether an organization ever had an effect that its books did not count; mostly it never had."""
    return Break.objects.filter(kind=BreakKind.LOST_INTENT, organization_id=organization_id).exists()


def of_case(case: Case) -> Break | None:
    """An effect under a key of ours that the desk does not count: of this case, or of its payment and of nobody yet."""
    lost = Break.objects.filter(
        kind=BreakKind.LOST_INTENT, organization_id=case.organization_id, payment_reference=case.target
    )
    mine = Q(case=case) & ~Q(state=BreakState.GONE)
    unplaced = Q(case=None, state=BreakState.OPEN)
    return lost.filter(mine | unplaced).exclude(_came_back()).order_by("case", "pk").first()


def _came_back() -> Q:
    """Refunds that the gateway failed in the end gave nobody money."""
    return Q(reference__in=Refund.objects.filter(status=Refund.Status.FAILED).values("reference"))


def standing_among(case_ids: Collection[int]) -> set[int]:
    """Those of the cases for which money went back by an effect that was lost from the books."""
    lost = Break.objects.filter(kind=BreakKind.LOST_INTENT, case__in=case_ids).exclude(state=BreakState.GONE)
    return set(lost.exclude(_came_back()).values_list("case_id", flat=True).distinct().order_by())


def outcome_of(found: Break, case: Case, due: Money | None) -> Done:
    """What acting finds instead of sending: it is done, or a person has to look. Raises StepFailed.

    `due` is what was to go back.
    """
    theirs = found.theirs
    if found.case_id is None:
        words = (
            f"The gateway shows {found.reference} over {theirs} for this payment, made by this desk for a case that it "
            "no longer knows. Say in the reconciliation whether it was this one; until then nothing is sent."
        )
        raise StepFailed(FailureKind.DATA, words, connection=found.connection.slug)
    if theirs != due:
        words = f"{theirs} went back for this case as {found.reference}. Nothing more is sent: settle the rest by hand."
        raise StepFailed(FailureKind.DATA, words, connection=found.connection.slug)
    return Done(f"{theirs} had gone back before the database was restored, as {found.reference}.")


def go_on_after(found: Break, *, by: User, reason: str) -> bool:
    """Have the case of a lost effect go on at the step that acts; the caller holds the case's lock.

    Nobody is asked any more whether to pay what was paid. False where no run of the case is to be moved.
    """
    case = found.case
    if case is None or case.state in CASE_FINAL:
        return False
    movable = [*RUN_ACTIVE, RunState.FAILED]
    run = Run.objects.select_for_update(of=("self",)).filter(case=case, state__in=movable).order_by("-pk").first()
    position = _acts_at(run) if run is not None else None
    if run is None or position is None:
        return False
    cases.void_consent(case, f"Its refund went out before the restore, as {found.reference}")
    repairing.go_on(run, case, by=by, reason=reason, position=position)
    return True


def _acts_at(run: Run) -> int | None:
    """The step that moves the money of a run."""
    steps = definition_of(run.version_id).steps
    return next((step.position for step in steps if moves_money(step.kind, step.config)), None)


def end_recovery(recovery: Recovery) -> None:
    """Let the cases of lost effects go on after them, in the transaction that ends the recovery."""
    signature = recovery.signatures.select_related("user").order_by("-pk").first()
    if signature is None:
        return
    found = Break.objects.open().filter(kind=BreakKind.LOST_INTENT, seen_in__recovery=recovery, case__isnull=False)
    for pk, case_id in list(found.order_by("case_id", "pk").values_list("pk", "case_id")):
        case = cases.locked(case_id)
        each = Break.objects.select_for_update(of=("self",)).select_related("connection").get(pk=pk)
        each.case = case
        if not _is_whole(each, case):
            continue  # stays open: acting stops at it, and a person settles it
        go_on_after(each, by=signature.user, reason=signature.reason)
        each.move_to(
            BreakState.SETTLED, closed_at=Now(), settled_by=signature.user, remedy="it_was", reason=signature.reason
        )


def _is_whole(found: Break, case: Case) -> bool:
    amount: Money | None = case.amount
    return found.theirs == amount
