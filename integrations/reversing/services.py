"""Asking for a reversal: a case of its own that names its original, so that people consent to just that."""

from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import Organization, User
from auditlog.services import Actor, record
from integrations.errors import NotReversible
from integrations.models import Action, Reversal
from integrations.reasons import checked
from integrations.reversing.offers import Offer, offer_of, worth
from integrations.states import ReversalState, Way
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from workflows import cases
from workflows.engine.opening import new_run
from workflows.errors import Unpublishable
from workflows.models import Case, WorkflowVersion
from workflows.publishing import publish_pack
from workflows.states import CaseState, VersionState

PACK = Path(settings.BASE_DIR) / "workflows" / "packs" / "reversal.yaml"
KIND = "reversal"  # of the workflow, and of its cases
_WHY = "The desk's own way of taking back what was done."


def ask(action_id: int, *, way: Way, by: User, reason: str) -> Reversal:
    """Open the case that takes an action back, or asks its money back. Raises NotReversible, ReasonMissing."""
    words = checked(reason)
    organization_id, case_id = Action.objects.values_list("organization_id", "case_id").get(pk=action_id)
    version = _version(organization_id)
    try:
        with transaction.atomic():
            original = cases.locked(case_id)
            action = Action.objects.select_related("connection", "payment").select_for_update(of=("self",))
            return _open(action.get(pk=action_id), original, version, way=way, by=by, words=words)
    except IntegrityError as error:
        if "integrations_reversal_one_per_action" not in str(error):
            raise
        raise NotReversible("Somebody else has just asked for it.") from error


def _open(action: Action, original: Case, version: WorkflowVersion, *, way: Way, by: User, words: str) -> Reversal:
    action.case = original
    before = Reversal.objects.filter(original=action)
    offer = offer_of(action, way, before.standing().first())
    amount = worth(action)
    if not offer.possible or offer.connection is None or amount is None:
        raise NotReversible(offer.refusal or "Its case is about no amount, and consent is given over one.")
    key = f"{original}, action {action.pk}, {before.count() + 1}"
    case = _case(action, original, version, by=by, words=words, key=key)
    reversal = Reversal.objects.create(
        organization_id=action.organization_id,
        original=action,
        case=case,
        way=way,
        connection=offer.connection,
        operation=offer.operation,
        reason=words,
        asked_by=by,
    )
    _tell(reversal, case, original, action, offer, by=by)
    new_run(version, case).save()
    cases.ring()
    return reversal


def _case(action: Action, original: Case, version: WorkflowVersion, *, by: User, words: str, key: str) -> Case:
    amount = worth(action)
    data = {
        "reference": key,
        "amount": str(amount.decimal) if amount else None,
        "currency": amount.currency if amount else None,
        "target": target_of(action),
        "customer": original.party or None,
        "reason": words[:60],
        "requested_by": str(by),
        "requested_at": clock.now().isoformat(),
    }
    content = cases.content_from(version.fields, data, unnamed=key)
    return Case.objects.create(
        organization_id=action.organization_id,
        kind=version.case_kind,
        party_name=original.party_name,
        requested_by_user=by,
        **content,
    )


def target_of(action: Action) -> str:
    """What a reversal is about, as consent names it: the other side's own name of what was done."""
    return action.external_reference or str(action.key)


def covers(case: Case, action: Action) -> bool:
    """Whether a case still asks for just this action, and all of it."""
    amount: Money | None = worth(action)
    return amount is not None and case.amount == amount and case.target == target_of(action)


def _tell(reversal: Reversal, case: Case, original: Case, action: Action, offer: Offer, *, by: User) -> None:
    record(
        "workflows.case.opened",
        actor=Actor.person(by),
        organization_id=case.organization_id,
        subject=("case", case.pk),
        case_id=case.pk,
        after={"key": case.key, "amount": case.amount_minor, "currency": case.currency, "target": case.target},
        reason=f"{by} asked that the {action.what} of {original} be {Way(reversal.way).label}: {reversal.reason}",
    )
    record(
        "integrations.reversal.asked",
        actor=Actor.person(by),
        organization_id=case.organization_id,
        subject=("reversal", reversal.pk),
        case_id=original.pk,
        after={"way": reversal.way, "by": offer.operation, "case": case.pk},
        reason=f"{case} is to see to it: {reversal.reason}",
    )


def _version(organization_id: int) -> WorkflowVersion:
    """The workflow by which this organization takes things back; the shipped one where it has published none."""
    found = _published(organization_id)
    if found is None:
        organization = Organization.objects.get(pk=organization_id)
        text = PACK.read_text(encoding="utf-8")
        try:
            found = publish_pack(organization, text, by=None, reason=_WHY)
        except Unpublishable as refusal:
            raise NotReversible(f"Nobody could be asked to agree: {refusal}") from refusal
    return found


def _published(organization_id: int) -> WorkflowVersion | None:
    rows = WorkflowVersion.objects.filter(
        workflow__organization_id=organization_id, workflow__slug=KIND, state=VersionState.PUBLISHED
    )
    return rows.select_related("workflow").first()


def of_case(case: Case) -> Reversal | None:
    """The reversal that a case is about, with its original."""
    rows = Reversal.objects.filter(case=case)
    return rows.select_related(
        "original__connection", "original__case", "original__payment", "connection", "asked_by", "action__connection"
    ).first()


def ended(case_id: int, state: str, reason: str) -> None:
    """The case of a reversal ends: one that was not carried out was refused, and another may be asked for."""
    reversal = Reversal.objects.filter(case=case_id, state=ReversalState.ASKED).select_related("original").first()
    if reversal is not None and state != CaseState.DONE:
        close(reversal, ReversalState.REFUSED, reason)


def close(reversal: Reversal, state: ReversalState, words: str) -> None:
    """End a reversal; the caller holds the lock of its case. The log of the original's case says what came of it."""
    reversal.move_to(state, outcome=words[:300], ended_at=clock.now())
    asked_back = state == ReversalState.DONE and reversal.way == Way.ASK_BACK
    record(
        f"integrations.reversal.{'asked_back' if asked_back else state}",
        actor=Actor.desk("reversal"),
        organization_id=reversal.organization_id,
        subject=("reversal", reversal.pk),
        case_id=reversal.original.case_id,
        after={"case": reversal.case_id, "state": state},
        reason=words,
    )
