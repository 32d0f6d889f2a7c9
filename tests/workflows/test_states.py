"""Every state machine of the desk: each (old, new) pair is tried on a row, against tables written down here by hand."""

from contextlib import nullcontext
from itertools import product
from typing import Any

import pgtrigger
import pytest
from django.apps import apps
from django.db import DatabaseError, transaction

from accounts.models import Organization, User
from accounts.states import ProposalState
from approvals.models import Question
from approvals.policies import draft_policy
from approvals.states import QuestionState, ReviewState, SecondOpinionState
from integrations.models import Breaker, Connection, Notice, Reversal
from integrations.states import (
    ActionState,
    BreakerState,
    BreakState,
    NoticeState,
    ReconciliationState,
    ReversalState,
)
from opsdesk.lib import clock
from opsdesk.lib.errors import IllegalMove
from opsdesk.lib.states import Movable, Overtaken
from opsdesk.states import ExportState
from tests.approvals.opinions import make_second_opinion
from tests.approvals.reversals import make_reversal
from tests.approvals.thresholds import make_trial
from tests.factories import (
    BANDS,
    make_action,
    make_break,
    make_bulk,
    make_case,
    make_desk,
    make_dry_run,
    make_event,
    make_failure,
    make_organization,
    make_reconciliation,
    make_recovery,
    make_replay,
    make_review,
    make_run,
)
from tests.opsdesk.lists import make_export
from tests.proposals import make_proposal
from workflows.models import RuleSet, Workflow, WorkflowVersion
from workflows.states import (
    BulkState,
    CaseState,
    DryRunState,
    EventState,
    FailureState,
    RecoveryState,
    ReplayState,
    RunState,
    VersionState,
)

pytestmark = pytest.mark.django_db

PICTURES = {
    "Event": {"received": "processed ignored quarantined", "processed": "", "ignored": "", "quarantined": ""},
    "Case": {
        "open": "failed done rejected canceled",
        "failed": "open canceled",
        "done": "failed",
        "rejected": "",
        "canceled": "",
    },
    "Run": {
        "ready": "running canceled failed",
        "running": "ready waiting succeeded failed canceled",
        "waiting": "ready running failed canceled",
        "succeeded": "",
        "failed": "ready canceled",
        "canceled": "",
    },
    "WorkflowVersion": {"draft": "published", "published": "retired", "retired": ""},
    "RuleSet": {"draft": "published", "published": "retired", "retired": ""},
    "Policy": {"draft": "published", "published": "retired", "retired": ""},
    "Bulk": {
        "preview": "running canceled",
        "running": "paused done canceled",
        "paused": "running canceled",
        "done": "",
        "canceled": "",
    },
    "DryRun": {"running": "done failed", "done": "", "failed": ""},
    "Failure": {"open": "acknowledged resolved", "acknowledged": "open resolved", "resolved": "open"},
    "Action": {
        "reserved": "sending failed",
        "sending": "reserved succeeded unknown failed",
        "unknown": "sending succeeded failed",
        "succeeded": "verified mismatched",
        "verified": "",
        "mismatched": "verified",
        "failed": "",
    },
    "Breaker": {"closed": "open", "open": "half_open closed", "half_open": "closed open"},
    "Notice": {
        "due": "sent delivered retrying failed",
        "retrying": "sent delivered retrying failed",
        "sent": "",
        "delivered": "",
        "failed": "due",
    },
    "Recovery": {"recovering": "ended", "ended": ""},
    "Replay": {"running": "done stopped", "done": "", "stopped": ""},
    "Reconciliation": {"due": "running", "running": "due done failed", "done": "", "failed": ""},
    "Break": {"open": "settled gone", "settled": "", "gone": "", "recorded": ""},
    "Review": {
        "open": "asked approving rejecting approved void",
        "asked": "open void",
        "approving": "approved open void",
        "rejecting": "rejected open void",
        "approved": "",
        "rejected": "",
        "void": "",
    },
    "Question": {"open": "answered withdrawn", "answered": "", "withdrawn": ""},
    "SecondOpinion": {"open": "agreed disagreed", "agreed": "", "disagreed": ""},
    "Trial": {"running": "done failed", "done": "", "failed": ""},
    "Proposal": {"open": "in_force discarded", "in_force": "", "discarded": ""},
    "Reversal": {"asked": "done refused failed", "done": "", "refused": "", "failed": ""},
    "Export": {"running": "done failed expired", "done": "expired", "failed": "expired", "expired": ""},
}
STATES = {
    "Event": EventState,
    "Case": CaseState,
    "Run": RunState,
    "WorkflowVersion": VersionState,
    "RuleSet": VersionState,
    "Policy": VersionState,
    "Bulk": BulkState,
    "DryRun": DryRunState,
    "Failure": FailureState,
    "Action": ActionState,
    "Breaker": BreakerState,
    "Notice": NoticeState,
    "Recovery": RecoveryState,
    "Replay": ReplayState,
    "Reconciliation": ReconciliationState,
    "Break": BreakState,
    "Review": ReviewState,
    "Question": QuestionState,
    "SecondOpinion": SecondOpinionState,
    "Trial": DryRunState,
    "Proposal": ProposalState,
    "Reversal": ReversalState,
    "Export": ExportState,
}

# Machines whose table of moves the database repeats, where consent and money hang on it.
GUARDED = {
    "Action": "integrations.Action:only_listed_moves",
    "Breaker": "integrations.Breaker:only_listed_moves",
    "DryRun": "workflows.DryRun:only_listed_moves",
    "Review": "approvals.Review:only_listed_moves",
    "Question": "approvals.Question:only_listed_moves",
    "SecondOpinion": "approvals.SecondOpinion:only_listed_moves",
    "Trial": "approvals.Trial:only_listed_moves",
    "Proposal": "accounts.Proposal:only_listed_moves",
    "Reversal": "integrations.Reversal:only_listed_moves",
    "Export": "opsdesk.Export:only_listed_moves",
}
# Two moves of one try, written at once.
AT_ONCE = {("sending", "verified"), ("sending", "mismatched")}


def beside_consent(machine: str, state: str) -> dict[str, Any]:
    """What the database asks for beside a state of what people decide."""
    now = clock.now()
    if machine == "Review":
        return {"closed_at": now if state in {"approved", "rejected", "void"} else None, "settles_at": now}
    if machine == "Proposal":
        ended = state != "open"
        return {"ended_at": now if ended else None, "ended_by": User.objects.get(username="maya") if ended else None}
    if machine == "SecondOpinion":
        answered = state != "open"
        return {"answered_at": now if answered else None, "verdict": "approve" if answered else ""}
    answered = state == "answered"
    said = {"answer": "Yes." if answered else "", "answered_by": "Ben" if answered else ""}
    return {"closed_at": None if state == "open" else now, **said}


def beside(machine: str, state: str) -> dict[str, Any]:
    """What the database asks for beside a state."""
    now = clock.now()
    match machine, state:
        case "Event", ("ignored" | "quarantined"):
            return {"reason": "Because."}
        case "Case", _:
            return {"closed_at": now if state in {"done", "rejected", "canceled"} else None}
        case "Run", _:
            return {
                "ended_at": now if state in {"succeeded", "failed", "canceled"} else None,
                "lease_until": now if state == "running" else None,
                "wake_at": now,
                "waits_for": "review",
                "reason": "Because.",
            }
        case ("WorkflowVersion", _):
            return {"published_at": None if state == "draft" else now}
        case "Action", _:
            return {"verified_at": now if state == "verified" else None, "lease_until": now}
        case "Bulk", _:
            return {"ended_at": now if state in {"done", "canceled"} else None, "started_at": now, "reason": "Because."}
        case "Breaker", _:
            return {
                "reason": "Because.",
                "probe_at": now if state == "open" else None,
                "probe_until": now if state == "half_open" else None,
            }
        case "Notice", _:
            return {"delivered_at": now if state == "delivered" else None}
        case "Reconciliation", _:
            return {"ended_at": now if state in {"done", "failed"} else None, "lease_until": now}
        case "Break", _:
            settled = {"settled_by": User.objects.get(username="maya"), "remedy": "leave", "reason": "Because."}
            unsettled = {"settled_by": None, "remedy": "", "reason": ""}
            closed = {"closed_at": None if state == "open" else now}
            return closed | (settled if state == "settled" else unsettled)
        case (("Recovery" | "Replay" | "DryRun" | "Trial" | "Reversal" | "Export"), _):
            note = {"note": "Because."} if machine == "Export" else {}
            return note | {"ended_at": None if state in {"recovering", "running", "asked"} else now}
        case (("Question" | "SecondOpinion" | "Review" | "Proposal"), _):
            return beside_consent(machine, state)
    return {}


def make_restored(machine: str, organization: Organization) -> Movable:
    """What there is after a restore."""
    if machine == "Reconciliation":
        return make_reconciliation(organization, state="due", ended_at=None)
    return make_break(organization) if machine == "Break" else make_recovery(organization)


def make_errand(machine: str, organization: Organization, by: User) -> Movable:
    """What a person has the desk do in the background."""
    if machine == "Trial":
        return make_trial(organization, by=by, state="running", ended_at=None)
    if machine == "DryRun":
        return make_dry_run(organization, by=by, state="running", ended_at=None)
    if machine == "Export":
        return make_export(organization, by, state="running", ended_at=None)
    return make_bulk(organization, by) if machine == "Bulk" else make_replay(organization, by)


def make_acted_reversal(organization: Organization, by: User) -> Movable:
    """What takes an action back, with the action and the consent by which it does."""
    reversal = make_reversal(organization, by)
    action = make_action(make_run(make_case(organization)))
    Reversal.objects.filter(pk=reversal.pk).update(action=action, authorization=action.authorization)
    reversal.refresh_from_db()
    return reversal


def make_second_thought(machine: str, organization: Organization, cast: Any) -> Movable:
    """What is asked about a case beside its decision, or of another person about a right."""
    if machine == "Proposal":
        return make_proposal(cast.ada.memberships.get(), by=cast.tomasz)
    if machine == "SecondOpinion":
        return make_second_opinion(organization, by=cast.ada, asked=cast.ben)
    review = make_review(make_case(organization))
    asked = {"text": "When?", "asked_by": cast.ada, "token_hash": "0" * 64, "expires_at": clock.now()}
    return Question.objects.create(organization=organization, case=review.case, review=review, **asked)


def make_row(machine: str) -> Movable:
    """One row of each machine, in its first state."""
    organization, cast = make_desk()
    match machine:
        case "Event":
            return make_event(organization)
        case "Bulk" | "Replay" | "DryRun" | "Trial" | "Export":
            return make_errand(machine, organization, cast.maya)
        case "Failure":
            return make_failure(organization, items=0)
        case "Reconciliation" | "Break" | "Recovery":
            return make_restored(machine, organization)
        case "WorkflowVersion" | "RuleSet" | "Policy":
            workflow = Workflow.objects.get()
            if machine == "Policy":
                return draft_policy(workflow, BANDS, by=None, reason="For a test.")
            if machine == "RuleSet":
                return RuleSet.objects.create(workflow=workflow, number=7)
            return WorkflowVersion.objects.create(workflow=workflow, number=7, case_kind="x", opened_by="x")
        case "Question" | "SecondOpinion" | "Proposal":
            return make_second_thought(machine, organization, cast)
        case "Reversal":
            return make_acted_reversal(organization, cast.ben)
    case = make_case(organization)
    if machine == "Breaker":
        return Breaker.objects.create(connection=Connection.objects.get(), operation="refund")
    made = {"Case": lambda: case, "Run": lambda: make_run(case), "Review": lambda: make_review(case)}
    if machine in made:
        return made[machine]()
    if machine == "Action":
        return make_action(make_run(case))
    return Notice.objects.create(
        organization=organization, recipient=cast.ada, channel="mail", subject="x", body="x", path="/", case=case
    )


def put(row: Movable, machine: str, state: str) -> None:
    """Put a row into a state, whatever it was in."""
    with pgtrigger.ignore(GUARDED[machine]) if machine in GUARDED else nullcontext():
        type(row)._default_manager.filter(pk=row.pk).update(state=state, **beside(machine, state))
    row.refresh_from_db()


@pytest.mark.parametrize("machine", PICTURES)
def test_only_the_listed_moves_are_possible(machine: str):
    row, picture = make_row(machine), PICTURES[machine]
    if machine in {"WorkflowVersion", "RuleSet", "Policy"}:
        # Only one edition may be published: the shipped one steps aside.
        type(row)._default_manager.filter(state="published").update(state="retired")
    wrong = []

    for old, new in product(picture, picture):
        put(row, machine, old)
        allowed = new in picture[old].split()
        try:
            row.move_to(new, **beside(machine, new))
        except IllegalMove:
            moved = False
        else:
            moved = True
        row.refresh_from_db()
        if moved != allowed or row.state != (new if allowed else old):
            wrong.append(f"{old} → {new}")

    assert wrong == []


@pytest.mark.parametrize("machine", PICTURES)
def test_every_state_has_its_line_in_the_picture(machine: str):
    assert set(PICTURES[machine]) == {str(state.value) for state in STATES[machine]}


def test_every_machine_has_its_picture():
    movable = {model.__name__ for model in apps.get_models() if issubclass(model, Movable)}

    assert movable == set(PICTURES)


def test_whoever_moves_second_is_told_so():
    case = make_case(make_organization())
    stale = type(case).objects.get(pk=case.pk)
    case.move_to(CaseState.REJECTED, closed_at=clock.now())

    with pytest.raises(Overtaken):
        stale.move_to(CaseState.DONE, closed_at=clock.now())

    case.refresh_from_db()
    assert (case.state, stale.state) == (CaseState.REJECTED, CaseState.OPEN)


def test_a_move_writes_its_own_columns_only():
    case = make_case(make_organization())
    case.standing = "Never saved."

    case.move_to(CaseState.FAILED)

    case.refresh_from_db()
    assert case.standing == ""


@pytest.mark.parametrize("machine", GUARDED)
def test_the_database_refuses_moves_that_go_around_python(machine: str):
    row, picture = make_row(machine), PICTURES[machine]
    wrong = []

    for old, new in product(picture, picture):
        put(row, machine, old)
        allowed = new == old or new in picture[old].split() or (machine == "Action" and (old, new) in AT_ONCE)
        try:
            with transaction.atomic():
                type(row)._default_manager.filter(pk=row.pk).update(state=new, **beside(machine, new))
        except DatabaseError:
            moved = False
        else:
            moved = True
        if moved != allowed:
            wrong.append(f"{old} → {new}")

    assert wrong == []
