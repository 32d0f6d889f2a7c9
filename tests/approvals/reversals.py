"""A refund that was paid, and the case that asks for its money back."""

from typing import Any

from accounts.models import Organization, User
from integrations.models import Reversal
from integrations.states import ActionState, Way
from opsdesk.lib import clock
from opsdesk.models import DrillResult, ReversalDrill
from tests.factories import make_action, make_case, make_review, make_run
from workflows.states import CaseState, RunState


def make_reversal(organization: Organization, by: User, **fields: Any) -> Reversal:
    """Asked for, and waiting for a review."""
    paid = make_case(organization, state=CaseState.DONE, amount="20.00")
    original = make_action(make_run(paid, state=RunState.SUCCEEDED), state=ActionState.VERIFIED)
    key = f"{paid}, action {original.pk}, 1"
    case = make_case(
        organization, kind="reversal", key=key, amount="20.00", target=original.external_reference, requested_by_user=by
    )
    make_review(case)
    defaults = {"way": Way.ASK_BACK, "operation": "post", "reason": "It was the wrong order.", "asked_by": by}
    return Reversal.objects.create(
        organization=organization,
        original=original,
        case=case,
        connection=original.connection,
        **{**defaults, **fields},
    )


def make_drill(*, words: str = "It is shown as done before it was asked for.") -> ReversalDrill:
    """One that ended, and found a reversal that does not work."""
    drill = ReversalDrill.objects.create(ended_at=clock.now(), tried=1, failed=1, milliseconds=1_200)
    DrillResult.objects.create(drill=drill, connector="webhook", operation="post", works=False, words=words)
    return drill
