"""Saying whether an effect happened where only a person can find out: no key protects it, no look-up shows it."""

from django.db import transaction

from accounts.models import User
from auditlog.services import Actor, record
from integrations.models import Action
from integrations.reasons import checked
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from workflows import cases
from workflows.engine import repairing
from workflows.models import Run
from workflows.states import CaseState, RunState


class NotYoursToSettle(DomainError):
    """The desk still finds out by itself, or money is in it, of which only the gateway knows."""

    message = "This is not for a person to say: the desk finds out by itself, or the gateway's own records decide."


@transaction.atomic
def settle(action_id: int, *, happened: bool, by: User, reason: str) -> Action:
    """Write down what a person found out about a lost answer, and let its run go on. Raises NotYoursToSettle."""
    words = checked(reason)
    case = cases.locked(Action.objects.values_list("case_id", flat=True).get(pk=action_id))
    action = Action.objects.select_for_update(of=("self",)).get(pk=action_id)
    if action.state != ActionState.UNKNOWN or action.moves_money or action.due_at is not None:
        raise NotYoursToSettle
    found = f"{by} found that it {'happened' if happened else 'did not happen'}: {words}"[:300]
    if happened:
        action.move_to(ActionState.SUCCEEDED, message=found, succeeded_at=clock.now(), lease_until=None)
    else:
        action.move_to(ActionState.FAILED, message=found, lease_until=None)
    record(
        "integrations.action.settled",
        actor=Actor.person(by),
        organization_id=action.organization_id,
        subject=("action", action.pk),
        case_id=case.pk,
        before={"state": ActionState.UNKNOWN},
        after={"state": action.state},
        reason=words,
    )
    run = Run.objects.get(pk=action.run_id)
    if run.state == RunState.FAILED and case.state == CaseState.FAILED:
        repairing.retry(run.pk, by=by, reason=words)
    return action
