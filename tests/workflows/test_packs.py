"""The shipped packs at work: a refund asked by phone, and refunds without proof."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.test import Client
from django.urls import reverse

from accounts.models import Team
from approvals.errors import SelfApproval
from integrations.models import Action, Notice
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.settings import BASE_DIR
from tests.factories import make_action, make_case, make_run
from tests.plugins.line import Line, open_review_of, vote
from workflows.models import Case, Run, Trigger
from workflows.publishing import publish_pack
from workflows.states import CaseState
from workflows.tasks import tick
from workflows.triggers.firing import look

UNVERIFIED = (BASE_DIR / "workflows" / "packs" / "unverified.yaml").read_text(encoding="utf-8")


def test_a_refund_asked_by_phone_goes_the_whole_way_without_the_vote_of_whoever_took_the_call(
    line: Line, client: Client
):
    order = line.paid()
    client.force_login(line.cast.ada)
    form = Trigger.objects.get(kind="form", version__workflow__organization=line.organization)
    said = {"order": order, "payment": f"pi_{order}", "customer": "17548", "amount": "141.48", "currency": "GBP"}

    answer = client.post(reverse("workflows:send_request", args=[form.pk]), {**said, "reason": "returned"})
    assert answer.status_code == 302, answer.content.decode()
    line.work()

    case = Case.objects.get()
    assert (case.requested_by_user, case.target, str(case.amount)) == (line.cast.ada, f"pi_{order}", "£141.48")
    with pytest.raises(SelfApproval):
        vote(open_review_of(case), line.cast.ada)
    vote(open_review_of(case), line.cast.ben)
    line.let_pass(seconds=11)
    case.refresh_from_db()
    assert case.state == CaseState.DONE
    assert [refund["amount"] for refund in line.refunds(case)] == [14148]
    line.assert_sound()


def test_a_refund_without_proof_is_told_to_the_managers_and_told_again_the_next_morning(line: Line):
    team = Team.objects.create(organization=line.organization, name="Managers", slug="managers")
    team.members.add(line.cast.maya)
    publish_pack(line.organization, UNVERIFIED, by=None, reason="For a test.")
    refund = make_case(line.organization)
    action = make_action(make_run(refund), state=ActionState.SENDING)
    now = clock.now()
    look(now)
    accepted = {"state": ActionState.SUCCEEDED, "lease_until": None, "due_at": None}
    Action.objects.filter(pk=action.pk).update(**accepted, succeeded_at=now)

    early, late, again = look(now + timedelta(hours=3)), look(now + timedelta(hours=4)), look(now + timedelta(hours=9))
    tick()

    assert (early, late, again) == (0, 1, 0)
    run = Run.objects.get(workflow__slug="unverified")
    assert (run.state, run.waits_for, run.case.amount) == ("waiting", "time", refund.amount)
    told = Notice.objects.get(channel="app")
    assert (told.recipient, told.subject) == (
        line.cast.maya,
        f"{refund.amount} to Customer {refund.party} is accepted and not verified",
    )
    assert str(refund) in told.body

    Run.objects.filter(pk=run.pk).update(kept={"end": now.isoformat()}, wake_at=F("started_at"))
    tick()
    run.refresh_from_db()
    assert (run.state, Notice.objects.filter(channel="app").count()) == ("succeeded", 2)
