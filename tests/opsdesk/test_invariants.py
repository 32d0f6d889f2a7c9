"""Each invariant, on a desk that is sound, on an empty one, and on one in which just that was broken around Python."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pgtrigger
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import F

from approvals.models import Review, Vote
from approvals.states import Verdict
from auditlog.models import Entry
from auditlog.services import Actor, record
from integrations.models import Action, Notice, Payment, Refund, Reversal
from integrations.states import ActionState, NoticeState, ReversalState, Way
from opsdesk.invariants import check_all
from opsdesk.lib import clock
from tests.factories import (
    make_action,
    make_call,
    make_case,
    make_event,
    make_failure,
    make_run,
    make_vote,
)
from tests.plugins.line import Line, open_review_of, vote
from workflows.models import Authorization, Case, Event, Run
from workflows.states import CaseState, RunState, Tier, WaitsFor

pytestmark = pytest.mark.django_db
NAMES = ["I1", "I2", "I3", "I4", "I5", "I7", "I8", "I9", "I10", "I11", "I12"]
LATE = timedelta(seconds=90)
Break = Callable[[Line], Any]


def sound(line: Line) -> Line:
    """One case refunded by rules, one by a person, one that left by itself, one that waits."""
    line.ask("19.80")
    line.work()
    approved = line.ask("141.48")
    line.work()
    vote(open_review_of(approved), line.cast.ada)
    line.let_pass(seconds=11)
    line.ask("60.00")
    line.work()
    line.post()
    line.let_pass(minutes=31)
    line.ask("200.00")
    line.work()
    return line


def broken(line: Line, effects: list[dict[str, Any]] | None = None) -> set[str]:
    """The names of those that do not hold."""
    return {
        finding.name for finding in check_all(line.gateway.effects() if effects is None else effects) if finding.wrong
    }


def test_a_sound_desk_holds_them_all(line: Line):
    found = list(check_all(sound(line).gateway.effects()))

    assert [finding.name for finding in found] == NAMES
    assert {finding.name: finding.wrong for finding in found if not finding.holds} == {}
    assert len(line.refunds()) == 3


def test_where_there_is_nothing_to_look_at_none_holds():
    assert {finding.name: finding.population for finding in check_all([])} == dict.fromkeys(NAMES, 0)
    assert not any(finding.holds for finding in check_all([]))


def test_the_command_fails_on_an_empty_desk_and_names_what_saw_nothing(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(CommandError, match="had nothing to look at"):
        call_command("check_invariants")

    assert capsys.readouterr().out.count("saw nothing") == len(NAMES)


def test_the_command_ends_well_on_a_sound_desk_and_not_on_a_broken_one(line: Line, capsys: pytest.CaptureFixture[str]):
    sound(line)
    call_command("check_invariants", gateway=line.gateway.url)
    Payment.objects.filter(refunded_minor__gt=0).update(refunded_minor=F("refunded_minor") - 1)

    with pytest.raises(CommandError, match="1 of the invariants"):
        call_command("check_invariants", gateway=line.gateway.url)

    assert "I4   BROKEN" in capsys.readouterr().out


# --- each broken by itself -------------------------------------------------------------------------------------------


def around_constraints(*statements: str) -> None:
    """Change the schema within the test's transaction, as somebody with the owner's password could."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in statements:
            cursor.execute(statement)


def an_event_that_lies_there(line: Line) -> None:
    event = make_event(line.organization)
    Event.objects.filter(pk=event.pk).update(received_at=clock.now() - LATE)


def an_event_twice(line: Line) -> None:
    around_constraints("ALTER TABLE workflows_event DROP CONSTRAINT workflows_event_once_per_source")
    event = Event.objects.order_by("pk").first()
    assert event is not None
    event.pk = None
    event.save(force_insert=True)


def a_worker_that_died(line: Line) -> None:
    Run.objects.filter(state=RunState.WAITING).update(
        state=RunState.RUNNING, lease_until=clock.now() - LATE, wake_at=clock.now()
    )


def nobody_who_looks(line: Line) -> None:
    Run.objects.filter(state=RunState.WAITING).update(wake_at=clock.now() - LATE)


def a_wait_for_a_review_that_is_over(line: Line) -> None:
    case = make_case(line.organization, state=CaseState.OPEN)
    run = make_run(case, state=RunState.WAITING, waits_for=WaitsFor.REVIEW)
    record_opened(case)
    assert not Review.objects.filter(run=run).exists()


def a_wait_for_an_action_that_is_over(line: Line) -> None:
    case = make_case(line.organization)
    record_opened(case)
    make_run(case, state=RunState.WAITING, waits_for=WaitsFor.ACTION)


def a_wait_for_nothing(line: Line) -> None:
    case = make_case(line.organization)
    record_opened(case)
    make_run(case, state=RunState.WAITING, waits_for=WaitsFor.CONNECTION)


def a_case_without_a_run(line: Line) -> None:
    record_opened(make_case(line.organization))


def record_opened(case: Case) -> None:
    record_about(case, "workflows.case.opened")


def record_about(case: Case, verb: str) -> None:
    record(
        verb,
        actor=Actor.desk(),
        organization_id=case.organization_id,
        subject=("case", case.pk),
        case_id=case.pk,
        reason="For a test.",
    )


def a_payment_drained(line: Line) -> None:
    Payment.objects.filter(refunded_minor__gt=0).update(captured_minor=F("refunded_minor") - 1, overbooked=True)


def money_held_for_nobody(line: Line) -> None:
    Payment.objects.filter(refunded_minor__gt=0).update(reserved_minor=1)


def a_refund_that_was_not_counted(line: Line) -> None:
    refund = Refund.objects.first()
    assert refund is not None
    Refund.objects.filter(pk=refund.pk).update(amount_minor=F("amount_minor") + 1)


def a_vote_of_the_requester(line: Line) -> None:
    Case.objects.filter(reviews__votes__isnull=False).update(requested_by_user=line.cast.ada)


def a_vote_on_other_content(line: Line) -> None:
    with pgtrigger.ignore("approvals.Vote:only_withdrawn_later"):
        Vote.objects.update(content_hash="0" * 64)


def an_approval_against_a_rejection(line: Line) -> None:
    make_vote(Review.objects.get(votes__isnull=False), line.cast.ben, Verdict.REJECT)


def a_grant_over_other_content(line: Line) -> None:
    with pgtrigger.ignore("workflows.Authorization:never_changed"):
        Authorization.objects.filter(source="rule").update(content_hash="0" * 64)


def a_case_nobody_wrote_about(line: Line) -> None:
    make_run(make_case(line.organization))


def erased(verb: str) -> Break:
    """The entries of a verb, gone."""

    def erase(line: Line) -> None:
        with pgtrigger.ignore("auditlog.Entry:append_only_rows"):
            assert Entry.objects.filter(verb=verb).delete()[0]

    return erase


def a_mail_nobody_sent(line: Line) -> None:
    Notice.objects.filter(channel="mail").update(state=NoticeState.DUE, due_at=clock.now() - LATE, delivered_at=None)


def rules_that_granted_too_much(line: Line) -> None:
    with pgtrigger.ignore("workflows.Authorization:never_changed"):
        Authorization.objects.filter(source="people").update(source="rule")


def people_nobody_asked(line: Line) -> None:
    with pgtrigger.ignore("workflows.Authorization:never_changed"):
        Authorization.objects.filter(source="rule").update(source="people")


def a_window_that_never_was(line: Line) -> None:
    with pgtrigger.ignore("workflows.Authorization:never_changed"):
        Authorization.objects.filter(source="people").update(source="window")


def too_few_votes(line: Line) -> None:
    for review in Review.objects.filter(state="approved", tier=Tier.FULL_REVIEW):
        review.terms[review.tier]["stages"][0]["votes"] = 2
        review.save(update_fields=["terms"])


def more_than_was_granted(line: Line) -> None:
    with pgtrigger.ignore("workflows.Authorization:never_changed"):
        Authorization.objects.filter(source="rule").update(amount_minor=1)


def the_grant_of_another_case(line: Line) -> None:
    with pgtrigger.ignore("workflows.Authorization:never_changed"):
        other = Case.objects.order_by("-pk").first()
        Authorization.objects.filter(source="rule").update(case=other)


def what_takes_back_and_names_nothing(line: Line) -> None:
    with pgtrigger.ignore("integrations.Action:intent_never_changed"):
        waiting = Action.objects.latest("pk")
        waiting.pk, waiting.key = None, uuid4()
        without_money(waiting).save(force_insert=True)


def without_money(action: Action) -> Action:
    """The same action as one that takes something back."""
    action.moves_money, action.authorization, action.payment, action.amount_minor = False, None, None, None
    action.currency, action.operation, action.holds_reservation = "", "retract", False
    action.state, action.verified_at, action.external_reference = ActionState.FAILED, None, ""
    return action


def reversed_by(line: Line, **fields: Any) -> Reversal:
    """A reversal of the first refund, in a case of its own that somebody withdrew."""
    original = Action.objects.order_by("pk").first()
    assert original is not None
    case = make_case(line.organization, kind="reversal", state=CaseState.CANCELED)
    for verb in ("opened", "withdrawn"):
        record_about(case, f"workflows.case.{verb}")
    own = {"way": Way.TAKE_BACK, "operation": "retract", "reason": "For a test.", "asked_by": line.cast.ben}
    return Reversal.objects.create(
        organization=line.organization,
        original=original,
        case=case,
        connection=original.connection,
        **{**own, **fields},
    )


def two_reversals_of_one_action(line: Line) -> None:
    around_constraints("DROP INDEX integrations_reversal_one_per_action")
    reversed_by(line)
    reversed_by(line)


def a_reversal_under_the_grant_of_another_case(line: Line) -> None:
    second, grant = Action.objects.order_by("pk")[1], Authorization.objects.first()
    reversed_by(line, action=second, authorization=grant, way=Way.ASK_BACK)


def a_reversal_nobody_saw(line: Line) -> None:
    over = {"state": ReversalState.DONE, "ended_at": clock.now()}
    around_constraints("ALTER TABLE integrations_reversal DROP CONSTRAINT integrations_reversal_done_by_an_action")
    reversed_by(line, **over)


SECRET = "sk_test_of_the_tests"


def a_secret_in_an_entry(line: Line) -> None:
    case = Case.objects.latest("pk")
    record(
        "workflows.case.corrected",
        actor=Actor.desk(),
        organization_id=line.organization.pk,
        subject=("case", case.pk),
        reason="For a test.",
        before={"key": SECRET},
    )


def a_secret_in_a_call(line: Line) -> None:
    make_call(line.connection, message=f"Nobody knows {SECRET}.")


def a_secret_in_a_failure(line: Line) -> None:
    make_failure(line.organization, message=f"401: {SECRET}", items=0)


@contextmanager
def undone() -> Iterator[None]:
    """Whatever is done within is as it was afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


BREAKAGES: list[tuple[str, Break]] = [
    ("I1", an_event_that_lies_there),
    ("I2", an_event_twice),
    ("I3", a_worker_that_died),
    ("I3", nobody_who_looks),
    ("I3", a_wait_for_a_review_that_is_over),
    ("I3", a_wait_for_an_action_that_is_over),
    ("I3", a_wait_for_nothing),
    ("I3", a_case_without_a_run),
    ("I4", a_payment_drained),
    ("I4", money_held_for_nobody),
    ("I4", a_refund_that_was_not_counted),
    ("I7", a_vote_of_the_requester),
    ("I7", a_vote_on_other_content),
    ("I7", an_approval_against_a_rejection),
    ("I7", a_grant_over_other_content),
    ("I8", a_case_nobody_wrote_about),
    ("I8", erased("workflows.case.finished")),
    ("I8", erased("approvals.authorization.granted")),
    ("I8", erased("approvals.review.approved")),
    ("I8", erased("integrations.action.verified")),
    ("I9", a_mail_nobody_sent),
    ("I10", rules_that_granted_too_much),
    ("I10", people_nobody_asked),
    ("I10", a_window_that_never_was),
    ("I10", too_few_votes),
    ("I10", more_than_was_granted),
    ("I10", the_grant_of_another_case),
    ("I11", what_takes_back_and_names_nothing),
    ("I11", two_reversals_of_one_action),
    ("I11", a_reversal_under_the_grant_of_another_case),
    ("I11", a_reversal_nobody_saw),
    ("I12", a_secret_in_an_entry),
    ("I12", a_secret_in_a_call),
    ("I12", a_secret_in_a_failure),
]


def test_each_breakage_turns_its_own_invariant_red(line: Line):
    """One desk for all: each is broken within a savepoint, which takes it back."""
    sound(line)
    effects = line.gateway.effects()
    assert broken(line, effects) == set()
    red = {}

    for name, breakage in BREAKAGES:
        with undone():
            breakage(line)
            red[f"{name} {getattr(breakage, '__name__', breakage)} {len(red)}"] = broken(line, effects)

    assert {what: found for what, found in red.items() if found != {what.split()[0]}} == {}
    assert {name for name, _ in BREAKAGES} | {"I5"} == set(NAMES)
    assert broken(line, effects) == set()


def test_the_gateways_own_log_is_held_against_the_actions(line: Line):
    sound(line)
    effects = line.gateway.effects()
    ours = next(effect for effect in effects if effect["kind"] == "refund")
    others = [effect for effect in effects if effect is not ours]

    assert broken(line, [*effects, {**ours, "refund": "re_again"}]) == {"I5"}
    assert broken(line, others) == {"I5"}
    assert broken(line, [*others, {**ours, "amount": ours["amount"] - 1}]) == {"I5"}
    assert broken(line, [*effects, {**ours, "idempotency_key": "somebody-elses"}]) == set()
    refused = make_action(make_run(make_case(line.organization)), state=ActionState.FAILED, holds_reservation=False)
    assert "I5" in broken(line, [*effects, {**ours, "idempotency_key": str(refused.key)}])
