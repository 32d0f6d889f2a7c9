"""Comparing the gateway with the desk: every difference is reported, nothing else is, and nothing is mended alone."""

from datetime import timedelta

import pgtrigger
import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from auditlog.models import Entry
from integrations.models import Action, Break, Payment, Refund
from integrations.reconciliation import settling
from integrations.reconciliation.settling import AlreadySettled, NotSo, ReasonMissing
from integrations.states import ActionState, BreakKind, BreakState, ReconciliationState, Remedy
from integrations.tasks import reconcile, send_due
from opsdesk.lib import clock
from tests.integrations.comparing import found, known_payment, lost_refund, nothing_is_young, reconciled, refunded
from tests.races import at_once
from workflows.states import CaseState, RunState

pytestmark = pytest.mark.django_db


long_ago = pytest.fixture(autouse=True)(nothing_is_young)


def test_what_agrees_is_not_reported(line):
    refunded(line, count=3)

    row = reconciled(line)

    assert (row.state, row.listed, row.compared, row.found) == (ReconciliationState.DONE, 3, 3, 0)
    assert not Break.objects.exists()


def test_20_of_20_differences_are_reported_and_none_is_mended(line):
    cases = refunded(line, count=20)
    rows = list(Refund.objects.order_by("pk"))
    amount, currency, there = rows[0:5], rows[5:10], rows[10:15]
    for row in amount:
        Refund.objects.filter(pk=row.pk).update(amount_minor=row.amount_minor + 100)
    Refund.objects.filter(pk__in=[row.pk for row in currency]).update(currency="EUR")
    for row in there:
        Action.objects.filter(external_reference=row.reference).update(external_reference=f"re_gone{row.pk}")
        Refund.objects.filter(pk=row.pk).update(reference=f"re_gone{row.pk}")
    here = [line.gateway.refund_in_the_dashboard(case.target, 300)["id"] for case in cases[15:20]]
    before = sorted(Refund.objects.values_list("reference", "amount_minor", "currency", "status"))
    money = sorted(Payment.objects.values_list("reference", "reserved_minor", "refunded_minor"))

    row = reconciled(line)

    # Whose reference is another here than there is missing on both sides.
    twins = [(BreakKind.MISSING_HERE, row.reference) for row in there]
    expected = (
        [(BreakKind.AMOUNT, row.reference) for row in amount]
        + [(BreakKind.CURRENCY, row.reference) for row in currency]
        + [(BreakKind.MISSING_THERE, f"re_gone{row.pk}") for row in there]
        + [(BreakKind.MISSING_HERE, reference) for reference in here]
    )
    assert found() == sorted(expected + twins)
    assert row.found == 25
    assert sorted(Refund.objects.values_list("reference", "amount_minor", "currency", "status")) == before
    assert sorted(Payment.objects.values_list("reference", "reserved_minor", "refunded_minor")) == money
    assert Entry.objects.filter(verb="integrations.break.found").count() == 25


def test_the_same_difference_is_reported_once_and_closes_when_it_is_gone(line):
    refunded(line)
    Refund.objects.update(amount_minor=F("amount_minor") + 1)

    first, second = reconciled(line), reconciled(line)
    row = Break.objects.get()
    assert (row.found_in, row.seen_in, second.found) == (first, second, 1)
    assert row.words == "The gateway refunded £20.00, the desk has £20.01."

    Refund.objects.update(amount_minor=F("amount_minor") - 1)
    assert reconciled(line).found == 0
    row.refresh_from_db()
    assert row.state == BreakState.GONE
    assert Entry.objects.filter(verb="integrations.break.gone").count() == 1


def test_missed_webhooks_are_found_within_one_cycle_and_counted_once(line):
    payments = [case.target for case in refunded(line, "5.00", count=6)]
    # The gateway tells nobody: each of these refunds is news that was lost.
    lost = {line.gateway.refund_in_the_dashboard(payment, 100 + n)["id"] for n, payment in enumerate(payments)}

    reconcile()

    assert set(Break.objects.open().values_list("reference", flat=True)) == lost
    for each in Break.objects.open():
        settling.settle(each.pk, by=line.cast.maya, remedy=Remedy.TAKE_OVER, reason="Refunded by support.")
    line.work()
    assert Refund.objects.filter(reference__in=lost).count() == 6
    assert reconciled(line).found == 0
    line.assert_sound()


@pytest.mark.long
def test_30_of_30_missed_webhooks_of_300_are_found(line):
    payments = [case.target for case in refunded(line, "5.00", count=60)]
    lost = set()
    for number in range(300):
        dropped = number % 10 == 3
        made = line.gateway.refund_in_the_dashboard(payments[number // 10 + (30 if dropped else 0)], 1 + number)
        if dropped:
            lost.add(made["id"])
        else:
            line.news("refund.created", made)
    line.work()

    reconcile()

    assert set(Break.objects.open().values_list("reference", flat=True)) == lost
    for each in Break.objects.open():
        settling.settle(each.pk, by=line.cast.maya, remedy=Remedy.TAKE_OVER, reason="Refunded by support.")
    line.work()
    assert Refund.objects.filter(reference__in=lost).count() == 30
    assert reconciled(line).found == 0
    line.assert_sound()


def test_news_that_is_on_its_way_is_no_difference(line, monkeypatch):
    monkeypatch.setattr("integrations.reconciliation.comparing.UNDER_WAY", timedelta(minutes=5))
    line.gateway.refund_in_the_dashboard(known_payment(line), 300)

    assert reconciled(line).found == 0


def test_an_intent_in_a_workers_hands_is_no_difference(line):
    refunded(line)
    action = Action.objects.get()
    Refund.objects.all().delete()
    Payment.objects.update(reserved_minor=action.amount_minor, refunded_minor=0)
    with pgtrigger.ignore("integrations.Action:only_listed_moves"):
        Action.objects.update(
            state=ActionState.UNKNOWN,
            external_reference="",
            succeeded_at=None,
            verified_at=None,
            holds_reservation=True,
        )

    assert reconciled(line).found == 0


def test_refunds_of_payments_that_no_case_was_about_are_nobodys_business(line):
    line.gateway.refund_in_the_dashboard(f"pi_{line.paid()}", 300)

    row = reconciled(line)

    assert (row.listed, row.found) == (1, 0)


def test_another_outcome_is_found_and_taking_it_over_brings_the_case_back(line):
    (case,) = refunded(line)
    line.gateway.fail(Refund.objects.get().reference)

    assert reconciled(line).found == 1
    [each] = Break.objects.open()
    assert each.kind == BreakKind.STATUS
    settling.settle(each.pk, by=line.cast.maya, remedy=Remedy.TAKE_OVER, reason="The bank sent it back.")
    send_due()

    case.refresh_from_db()
    assert case.state == CaseState.FAILED
    assert Payment.objects.get().refunded_minor == 0


def test_what_a_person_left_as_it_is_is_not_reported_every_day(line):
    refunded(line)
    Refund.objects.update(currency="EUR")
    reconciled(line)
    settling.settle(Break.objects.get().pk, by=line.cast.maya, remedy=Remedy.LEAVE, reason="Known.")

    assert reconciled(line).found == 0
    Refund.objects.update(currency="USD")
    assert reconciled(line).found == 1


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ({"remedy": Remedy.TAKE_OVER, "reason": "x"}, NotSo),
        ({"remedy": Remedy.IT_WAS, "reason": "x"}, NotSo),
        ({"remedy": Remedy.LEAVE, "reason": " "}, ReasonMissing),
    ],
)
def test_refused_remedies_leave_no_trace(line, words, refusal):
    refunded(line)
    Refund.objects.update(currency="EUR")
    reconciled(line)
    each = Break.objects.get()

    with pytest.raises(refusal):
        settling.settle(each.pk, by=line.cast.maya, **words)

    each.refresh_from_db()
    assert each.state == BreakState.OPEN
    assert not Entry.objects.filter(verb="integrations.break.settled").exists()


def test_what_is_settled_is_left_alone(line):
    refunded(line)
    Refund.objects.update(currency="EUR")
    reconciled(line)
    each = Break.objects.get()
    settling.settle(each.pk, by=line.cast.maya, remedy=Remedy.LEAVE, reason="Known.")

    with pytest.raises(AlreadySettled):
        settling.settle(each.pk, by=line.cast.maya, remedy=Remedy.LEAVE, reason="Again.")


@pytest.mark.django_db(transaction=True)
def test_two_people_settle_a_difference_once(committed_line):
    line = committed_line
    refunded(line)
    Refund.objects.update(currency="EUR")
    reconciled(line)
    each = Break.objects.get()

    outcomes = at_once(
        *[
            lambda by=by: settling.settle(each.pk, by=by, remedy=Remedy.LEAVE, reason="Known.")
            for by in (line.cast.maya, line.cast.tomasz) * 2
        ]
    )

    assert sum(isinstance(outcome, Break) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AlreadySettled) for outcome in outcomes) == 3
    assert Entry.objects.filter(verb="integrations.break.settled").count() == 1


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"state": "odd", "closed_at": clock.now()}, "integrations_break_known_state"),
        ({"state": BreakState.GONE}, "integrations_break_closed_at_iff_closed"),
        ({"state": BreakState.SETTLED, "closed_at": clock.now()}, "integrations_break_settled_by_somebody"),
    ],
)
def test_the_database_refuses_what_no_difference_can_be(line, changes, constraint):
    refunded(line)
    Refund.objects.update(currency="EUR")
    reconciled(line)

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Break.objects.update(**changes)


def test_a_done_run_is_not_moved_by_a_remedy(line):
    (case,) = refunded(line, "20.00")
    lost_refund(line, case, "7.00")
    reconciled(line)

    settling.settle(Break.objects.get().pk, by=line.cast.maya, remedy=Remedy.IT_WAS, reason="Twice, sadly.")

    assert case.runs.get().state == RunState.SUCCEEDED
