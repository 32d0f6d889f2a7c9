"""A decided case that tells what became of it wherever the desk keeps such a thing."""

from datetime import timedelta

from accounts.models import Organization, User
from approvals.models import Comment, Question, SecondOpinion
from approvals.states import ReviewState, Verdict
from auditlog.services import Actor, record
from integrations.models import Connection, Notice, Reversal
from integrations.states import ActionState, NoticeState, Way
from opsdesk.lib import clock
from tests import factories
from tests.approvals.opinions import make_second_opinion
from workflows.models import BulkItem, Correction, FailureItem
from workflows.states import BulkState, CaseState, EventState, RunState

WHO = "The Veiled Lantern"
TOLD = "Approved-as-everybody-can-read"


def make_told(organization: Organization, *, by: User, asked: User) -> SecondOpinion:
    """Somebody approved it, its refund went out, and its run failed afterwards; somebody else owes an opinion.

    Each of its rows is the newest of its kind and says TOLD; the case is of WHO.
    """
    reversal = factories.make_case(organization, kind="reversal", amount="20.00")
    factories.make_review(reversal)
    look = make_second_opinion(organization, by=by, asked=asked, party_name=WHO)
    review, run = look.review, look.review.run
    case, gateway, now = review.case, Connection.objects.get(organization=organization, slug="gateway"), clock.now()
    factories.at(case, state=CaseState.FAILED, standing=TOLD)
    factories.at(run, state=RunState.FAILED, reason=TOLD, ended_at=now, wake_at=None, waits_for="", waiting_since=None)
    factories.make_vote(review, by, Verdict.APPROVE, text=TOLD)
    paid = factories.make_action(run, state=ActionState.VERIFIED, message=TOLD)
    factories.make_action(
        factories.make_run(case, state=RunState.CANCELED), state=ActionState.UNKNOWN, message=TOLD, due_at=None
    )
    factories.make_call(gateway, action=paid, path=f"/v1/refunds/{TOLD}", message=TOLD)
    factories.make_break(organization, case=case, words=TOLD, reference=TOLD)
    failure = factories.make_failure(organization, message="The books are closed.", items=0)
    FailureItem.objects.create(failure=failure, run=run, detail=TOLD)
    bulk = factories.make_bulk(organization, by, runs=[run], state=BulkState.DONE)
    bulk.items.update(label=WHO, result=BulkItem.Result.DONE, sentence=TOLD, at=now)
    factories.make_event(organization, case=case, state=EventState.QUARANTINED, reason=TOLD)
    Reversal.objects.create(
        organization=organization, original=paid, case=reversal, connection=gateway, way=Way.ASK_BACK, operation="post",
        reason=TOLD, asked_by=by,
    )  # fmt: skip
    _spoken_of(look, by)
    record(
        "approvals.review.approved",
        actor=Actor.person(by),
        organization_id=organization.pk,
        subject=("review", review.pk),
        case_id=case.pk,
        after={"state": ReviewState.APPROVED, "words": TOLD},
        reason=f"{WHO}: {TOLD}",
    )
    return look


def _spoken_of(look: SecondOpinion, by: User) -> None:
    """What people wrote and were told about it."""
    case, now = look.review.case, clock.now()
    common = {"organization": case.organization, "case": case}
    Correction.objects.create(case=case, user=by, before={}, after={"party": WHO}, reason=TOLD)
    Comment.objects.create(author=by, text=TOLD, **common)
    Question.objects.create(
        review=look.review, text=TOLD, asked_by=by, token_hash=TOLD, asked_at=now - timedelta(days=3),
        expires_at=now, **common,
    )  # fmt: skip
    told = {"recipient": look.asked, "subject": f"{WHO}: {TOLD}", "body": TOLD, "path": "/", "topic": "mention:told"}
    failed = {"state": NoticeState.FAILED, "due_at": None, "message": TOLD}
    arrived = {"state": NoticeState.DELIVERED, "due_at": None, "delivered_at": now}
    Notice.objects.create(channel="app", **arrived, **told, **common)
    lost = told | {"recipient": by, "topic": "mention:lost"}
    Notice.objects.create(channel="mail", **failed, **lost, **common)
