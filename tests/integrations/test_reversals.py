"""Taking back what was done outside: a case of its own, consent of its own, once, and verified at the other side."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.db import IntegrityError, transaction
from django.db.models import F

from approvals import voters
from approvals.errors import SelfApproval
from approvals.states import Verdict
from auditlog.models import Entry
from integrations.connectors.stripe.connector import REFUNDS
from integrations.errors import NotReversible
from integrations.models import Action, Connection, Payment, Refund, Reversal
from integrations.operations import Extent, Operation, check_reversal
from integrations.operations import Reversal as Declared
from integrations.reversing.services import ask
from integrations.secrets import encrypt
from integrations.states import ActionState, ReversalState, Way
from tests.definitions import PACK
from tests.integrations.receiver import Receiver, receiver
from tests.integrations.senders import SHOP_SECRET
from tests.plugins.line import Line, open_review_of, vote
from tests.races import at_once
from workflows import cases
from workflows.models import Case
from workflows.publishing import publish_pack
from workflows.states import CaseState, Tier

CAN_TAKE_BACK = {"verify_path": "/events/{key}", "retract_path": "/events/{key}/retract"}


@pytest.fixture
def books(line: Line, settings: Any) -> Iterator[Receiver]:
    """Bookkeeping, which hears of every refund and can take back what it heard."""
    with receiver() as told:
        settings.OUTBOUND_EXCEPTIONS = [*settings.OUTBOUND_EXCEPTIONS, told.url.removeprefix("http://")]
        Connection.objects.create(
            organization=line.organization,
            slug="books",
            name="Books",
            connector="webhook",
            base_url=told.url,
            secret=encrypt(SHOP_SECRET),
            options=CAN_TAKE_BACK,
        )
        pack = yaml.safe_load(PACK)
        fields = {"event": {"value": "refund.paid"}, "reference": "case.key"}
        config = {"connection": "books", "operation": "post", "fields": fields}
        pack["steps"].append({"key": "tell", "kind": "act", "config": config})
        publish_pack(line.organization, pack, by=None, reason="Bookkeeping wants to know.")
        yield told


def waiting(line: Line, amount: str = "20.00") -> Action:
    """A refund that the gateway holds until the customer says where the money goes."""
    line.gateway.fault("requires_action", method="POST", path="/v1/refunds")
    line.ask(amount)
    line.work()
    action = Action.objects.get(operation="refund")
    assert action.state == ActionState.SUCCEEDED
    return action


def told(line: Line) -> Action:
    line.ask("20.00")
    line.work()
    action = Action.objects.get(operation="post")
    assert action.state == ActionState.VERIFIED
    return action


def agreed(line: Line, reversal: Reversal) -> Reversal:
    """Somebody who has nothing to do with it agrees, and it is carried out."""
    line.work()
    vote(open_review_of(reversal.case), line.cast.maya)
    line.let_pass(seconds=11)
    line.let_pass(seconds=30)
    reversal.refresh_from_db()
    return reversal


def asked(line: Line, action: Action, way: Way = Way.TAKE_BACK) -> Reversal:
    return ask(action.pk, way=way, by=line.cast.ben, reason="It was the wrong order.")


def test_a_refund_that_waits_for_the_customer_is_taken_back_and_the_books_balance(line: Line):
    action = waiting(line)
    payment = Payment.objects.get(pk=action.payment_id)
    assert payment.refunded_minor == 2000

    reversal = agreed(line, asked(line, action))

    assert (reversal.state, reversal.original, reversal.action.state) == (
        ReversalState.DONE, action, ActionState.VERIFIED,
    )  # fmt: skip
    assert reversal.authorization.case == reversal.case
    assert Refund.objects.get(payment=payment).status == Refund.Status.FAILED
    payment.refresh_from_db()
    assert (payment.reserved_minor, payment.refunded_minor) == (0, 0)
    original = Case.objects.get(pk=action.case_id)
    assert (original.state, original.standing) == (CaseState.CANCELED, f"It was taken back by {reversal.case}.")
    assert Case.objects.get(pk=reversal.case_id).state == CaseState.DONE
    assert [effect["kind"] for effect in line.gateway.effects()] == ["refund", "refund_failed"]
    verbs = set(Entry.objects.filter(case_id=action.case_id).values_list("verb", flat=True))
    assert {"integrations.reversal.asked", "integrations.reversal.done"} <= verbs
    line.assert_sound()


def test_taking_back_is_decided_by_people_who_neither_asked_nor_approved_the_original(line: Line):
    line.gateway.fault("requires_action", method="POST", path="/v1/refunds")
    case = line.ask("141.48")
    line.work()
    vote(open_review_of(case), line.cast.ada)
    line.let_pass(seconds=11)
    reversal = asked(line, Action.objects.get())
    line.work()

    review = open_review_of(reversal.case)

    assert review.tier == Tier.FULL_REVIEW
    barred = voters.involved_in(review)
    assert barred == {voters.person_key(line.cast.ben), voters.person_key(line.cast.ada)}
    for user in (line.cast.ada, line.cast.ben):
        with pytest.raises(SelfApproval):
            vote(review, user)
    assert not Action.objects.filter(case=reversal.case).exists()


def test_what_people_refuse_is_not_taken_back_and_may_be_asked_again(line: Line):
    action = waiting(line)
    reversal = asked(line, action)
    with pytest.raises(NotReversible, match=f"is being taken back by {reversal.case}"):
        asked(line, action)
    line.work()

    vote(open_review_of(reversal.case), line.cast.maya, Verdict.REJECT)
    line.let_pass(seconds=11)

    reversal.refresh_from_db()
    assert (reversal.state, reversal.action) == (ReversalState.REFUSED, None)
    assert asked(line, action).pk != reversal.pk
    assert line.gateway.effects()[-1]["kind"] == "refund"


def test_a_withdrawn_reversal_leaves_room_for_another(line: Line):
    from auditlog.services import Actor

    action = waiting(line)
    reversal = asked(line, action)

    assert cases.withdraw(reversal.case_id, actor=Actor.person(line.cast.ben), reason="A slip.")

    reversal.refresh_from_db()
    assert reversal.state == ReversalState.REFUSED
    asked(line, action)


def test_what_was_paid_meanwhile_is_not_taken_back_though_it_was_approved(line: Line):
    action = waiting(line)
    reversal = asked(line, action)
    line.work()
    line.gateway.settle(action.external_reference)

    vote(open_review_of(reversal.case), line.cast.maya)
    line.let_pass(seconds=11)
    line.let_pass(seconds=30)

    reversal.refresh_from_db()
    assert reversal.state == ReversalState.FAILED
    assert Case.objects.get(pk=reversal.case_id).state == CaseState.REJECTED
    assert Action.objects.get(pk=action.pk).state == ActionState.VERIFIED
    assert Case.objects.get(pk=action.case_id).state == CaseState.DONE
    line.assert_sound()


def test_a_lost_answer_to_a_cancelation_is_cleared_up_and_cancels_once(line: Line):
    action = waiting(line)
    line.gateway.fault("lost_after", method="POST", path=f"/v1/refunds/{action.external_reference}/cancel")

    reversal = agreed(line, asked(line, action))
    line.let_pass(minutes=2)

    reversal.refresh_from_db()
    assert reversal.state == ReversalState.DONE
    assert [effect["kind"] for effect in line.gateway.effects()] == ["refund", "refund_failed"]
    line.assert_sound()


def test_a_paid_refund_is_final_and_without_a_messenger_nothing_is_offered(line: Line):
    line.ask("20.00")
    line.work()
    action = Action.objects.get()

    with pytest.raises(NotReversible, match="only until the customer has said where the money goes"):
        asked(line, action)
    with pytest.raises(NotReversible, match="Connect a system by webhook"):
        asked(line, action, Way.ASK_BACK)
    assert not Reversal.objects.exists()
    assert Case.objects.count() == 1


def test_the_next_best_of_a_paid_refund_is_to_have_the_money_asked_back(line: Line, books: Receiver):
    line.ask("20.00")
    line.work()
    action = Action.objects.get(operation="refund")
    heard = len(books.posts)

    reversal = agreed(line, asked(line, action, Way.ASK_BACK))

    assert reversal.state == ReversalState.DONE
    assert "the desk cannot see" in reversal.words
    [message] = [taken["data"] for taken in books.taken.values() if taken["type"] == "refund.return_asked"]
    assert message["amount"] == {"minor": 2000, "currency": "GBP"}
    assert message["note"] == "It was the wrong order."
    assert len(books.posts) == heard + 1
    assert Case.objects.get(pk=action.case_id).state == CaseState.DONE
    line.assert_sound()


def test_what_was_told_is_taken_back_under_the_first_key_and_seen_to_be(line: Line, books: Receiver):
    action = told(line)

    reversal = agreed(line, asked(line, action))

    assert (reversal.state, reversal.action.operation) == (ReversalState.DONE, "retract")
    assert reversal.action.state == ActionState.VERIFIED
    assert books.taken[str(action.key)]["status"] == "retracted"
    assert books.posts[-1][0]["webhook-id"] == str(reversal.action.key)
    with pytest.raises(NotReversible, match="was taken back by"):
        asked(line, action)
    with pytest.raises(NotReversible, match="nothing to take back"):
        asked(line, reversal.action)
    line.assert_sound()


def test_past_its_time_or_unverified_nothing_is_taken_back(line: Line, books: Receiver):
    action = told(line)
    Action.objects.filter(pk=action.pk).update(succeeded_at=F("succeeded_at") - timedelta(hours=721))
    with pytest.raises(NotReversible, match="which are over"):
        asked(line, action)
    Connection.objects.filter(slug="books").update(options={"verify_path": "/events/{key}"})
    with pytest.raises(NotReversible, match="cannot be untold"):
        asked(line, action)
    assert not Reversal.objects.exists()


def test_consent_to_something_else_takes_nothing_back(line: Line):
    action = waiting(line)
    reversal = asked(line, action)
    line.work()
    vote(open_review_of(reversal.case), line.cast.maya)
    Case.objects.filter(pk=reversal.case_id).update(amount_minor=1999)

    line.let_pass(seconds=11)

    assert not Action.objects.filter(case=reversal.case_id).exists()
    assert (Reversal.objects.get().state, Reversal.objects.get().action) == (ReversalState.ASKED, None)
    assert [effect["kind"] for effect in line.gateway.effects()] == ["refund"]


def test_the_database_holds_one_reversal_an_action_with_consent_of_its_own(line: Line):
    action = waiting(line)
    first = asked(line, action)
    case = Case.objects.create(organization=line.organization, kind="reversal", key="another")
    copy = {
        "organization": line.organization, "original": action, "way": Way.TAKE_BACK, "connection": action.connection,
        "operation": "cancel", "reason": "again", "asked_by": line.cast.ben,
    }  # fmt: skip
    for changes, name in [
        ({}, "one_per_action"),
        ({"state": ReversalState.REFUSED}, "ended_at_iff_over"),
        ({"way": "burn", "state": ReversalState.REFUSED, "ended_at": first.asked_at}, "known_way"),
        ({"action": action}, "acts_with_authorization"),
    ]:
        with pytest.raises(IntegrityError, match=f"integrations_reversal_{name}"), transaction.atomic():
            Reversal.objects.create(case=case, **{**copy, **changes})
    for broken in ({"original": action.pk + 1}, {"reason": "none"}):
        with pytest.raises(Exception, match="Cannot update"), transaction.atomic():
            Reversal.objects.filter(pk=first.pk).update(**broken)


def test_two_who_ask_at_once_open_one_case(committed_line: Line):
    action = waiting(committed_line)

    def one() -> str:
        try:
            return str(asked(committed_line, action).case)
        except NotReversible as refused:
            return str(refused)

    answers = at_once(one, one)

    assert Reversal.objects.count() == 1
    assert sorted(answer.startswith("CASE-") for answer in answers) == [False, True]
    assert Case.objects.filter(kind="reversal").count() == 1


@pytest.mark.parametrize(
    "declared", [Declared(Extent.FULL, "By nothing."), Declared(Extent.FULL, "By a refund.", by="refund")]
)
def test_nothing_is_declared_that_no_operation_carries_out(declared: Declared):
    from dataclasses import replace

    odd: Operation = replace(REFUNDS, reversal=declared)

    with pytest.raises(ValueError, match=r"take[ns] (it )?back"):
        check_reversal(odd, [odd, REFUNDS])
