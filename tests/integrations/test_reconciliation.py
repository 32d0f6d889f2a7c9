"""Comparing the gateway with the desk: every difference is reported, nothing else is, and nothing is mended alone."""

import uuid
from datetime import timedelta

import pgtrigger
import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from auditlog.models import Entry
from integrations.models import Action, Break, Call, Connection, Payment, Reconciliation, Refund
from integrations.reconciliation import asking, running, settling
from integrations.reconciliation.asking import NothingToCompare, UnderWay
from integrations.reconciliation.settling import AlreadySettled, NotSo, ReasonMissing
from integrations.states import ActionState, BreakKind, BreakState, ReconciliationState, Remedy
from integrations.tasks import reconcile, send_due
from opsdesk.lib import clock
from tests.plugins.line import open_review_of, vote
from tests.races import at_once
from workflows.states import CaseState, RunState

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_is_young(monkeypatch):
    """The gateway's clock cannot be moved: what it did just now counts as done long ago."""
    monkeypatch.setattr("integrations.reconciliation.comparing.UNDER_WAY", timedelta(seconds=-5))


def refunded(line, amount="20.00", count=1):
    """Cases that are done, each with its refund here and there."""
    # Of a customer each: many small refunds to one person are a person's business.
    customers = [f"{20_000 + number}" for number in range(count)]
    cases = [line.ask(amount, order=line.paid(customer=each), customer=each) for each in customers]
    line.work()
    assert {type(case).objects.get(pk=case.pk).state for case in cases} == {CaseState.DONE}
    return cases


def known_payment(line):
    """A payment of which the desk keeps books."""
    (case,) = refunded(line, "5.00")
    return case.target


def reconciled(line):
    row = asking.ask(line.connection.pk, by=line.cast.tomasz)
    running.run_due()
    row.refresh_from_db()
    return row


def found():
    return sorted(Break.objects.open().values_list("kind", "reference"))


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


def test_an_effect_under_a_key_that_nobody_knows_is_found_with_its_case(line):
    (case,) = refunded(line, "20.00")
    lost_refund(line, case, "7.00")

    reconciled(line)

    [each] = Break.objects.open()
    assert (each.kind, each.case_id, str(each.theirs)) == (BreakKind.LOST_INTENT, case.pk, "£7.00")


def test_an_effect_under_a_key_that_nobody_knows_counts_and_stays_found_after_news_of_it(line):
    (case,) = refunded(line, "20.00")
    lost_refund(line, case, "7.00")
    # As when a webhook comes before the first comparison.
    Payment.objects.update(reread_at=clock.now())
    line.work()
    assert Payment.objects.get().refunded_minor == 2700

    assert reconciled(line).found == 1
    assert reconciled(line).found == 1

    [each] = Break.objects.open()
    assert (each.kind, each.case_id) == (BreakKind.LOST_INTENT, case.pk)


def test_what_went_back_under_a_lost_key_counts_before_more_is_sent(line):
    (case,) = refunded(line, "20.00")
    lost_refund(line, case, "7.00")

    reconciled(line)
    line.work()

    assert Payment.objects.get().refunded_minor == 2700
    line.assert_sound()


def lost_refund(line, case, amount, *, named=None):
    """A refund that the desk made for a case and, after a restore, knows nothing about."""
    key = uuid.uuid4()
    minor = int(amount.replace(".", ""))
    line.gateway.post(
        "/v1/refunds",
        {
            "payment_intent": case.target,
            "amount": minor,
            "metadata[opsdesk_key]": str(key),
            "metadata[case]": named or f"CASE-{case.pk}",
        },
        key=str(key),
    )
    return key


def approved(line, case):
    """A second refund of a payment is a matter for people: they agree."""
    line.work()
    vote(open_review_of(case), line.cast.ada)
    line.let_pass(seconds=30)


def test_a_case_of_that_number_about_another_payment_is_not_its_case(line):
    (case, other) = refunded(line, count=2)
    lost_refund(line, case, "7.00", named=f"CASE-{other.pk}")

    reconciled(line)

    assert Break.objects.get().case_id is None


def test_beside_an_effect_that_nobody_placed_nothing_is_sent_for_its_payment(line):
    order = line.paid()
    done = line.ask("5.00", order=order)
    line.work()
    lost_refund(line, done, "20.00", named="CASE-999999")
    reconciled(line)
    again = line.ask("20.00", order=order)

    approved(line, again)

    again.refresh_from_db()
    assert again.state == CaseState.FAILED
    assert "for a case that it no longer knows" in again.runs.get().reason
    assert len(line.refunds()) == 2

    settling.settle(
        Break.objects.get().pk, by=line.cast.maya, remedy=Remedy.IT_WAS, reason="The same.", case_id=again.pk
    )
    line.work()

    again.refresh_from_db()
    assert again.state == CaseState.DONE
    assert len(line.refunds()) == 2


def test_an_effect_of_another_case_is_let_go(line):
    order = line.paid()
    done = line.ask("5.00", order=order)
    line.work()
    lost_refund(line, done, "20.00", named="CASE-999999")
    reconciled(line)
    settling.settle(Break.objects.get().pk, by=line.cast.maya, remedy=Remedy.LEAVE, reason="Booked by hand.")

    again = line.ask("20.00", order=order)
    approved(line, again)

    again.refresh_from_db()
    assert again.state == CaseState.DONE


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


def test_a_gateway_that_is_away_is_asked_again_and_given_up_in_the_end(line):
    line.gateway.chaos({"503": 1.0})
    row = reconciled(line)

    assert (row.state, row.attempts) == (ReconciliationState.DUE, 1)
    assert row.due_at > clock.now()
    for _ in range(running.MOST_ATTEMPTS):
        Reconciliation.objects.update(due_at=clock.now())
        running.run_due()

    row.refresh_from_db()
    assert row.state == ReconciliationState.FAILED
    assert row.message
    assert Call.objects.filter(operation="list all refunds").count() == running.MOST_ATTEMPTS


def test_it_lists_page_by_page(line, monkeypatch):
    monkeypatch.setattr("integrations.connectors.stripe.connector.PAGE", 2)
    refunded(line, count=5)

    assert reconciled(line).compared == 5
    assert Call.objects.filter(operation="list all refunds").count() == 3


def test_each_connection_is_compared_once_a_day(line):
    assert asking.ask_what_is_due() == 1
    running.run_due()
    assert asking.ask_what_is_due() == 0

    Reconciliation.objects.update(asked_at=clock.now() - timedelta(hours=25))

    assert asking.ask_what_is_due() == 1
    assert Reconciliation.objects.first().since < clock.now() - timedelta(days=6)


def test_only_gateways_are_compared_and_one_at_a_time(line):
    shop = Connection.objects.get(slug="shop")
    with pytest.raises(NothingToCompare):
        asking.ask(shop.pk, by=line.cast.tomasz)

    asking.ask(line.connection.pk, by=line.cast.tomasz)
    with pytest.raises(UnderWay), transaction.atomic():
        asking.ask(line.connection.pk, by=line.cast.tomasz)


def test_a_worker_that_died_while_it_compared_is_followed_by_another(line):
    row = asking.ask(line.connection.pk, by=line.cast.tomasz)
    stale = running._claim()
    assert running.run_due() == 0
    Reconciliation.objects.update(lease_until=clock.now() - timedelta(seconds=1))

    assert running.run_due() == 1
    running._write(stale, running.Listing())

    row.refresh_from_db()
    assert (row.state, row.attempts) == (ReconciliationState.DONE, 2)
    assert Entry.objects.filter(verb="integrations.reconciliation.done").count() == 1


def test_one_that_takes_its_workers_with_it_is_given_up(line):
    row = asking.ask(line.connection.pk, by=line.cast.tomasz)
    for _ in range(running.MOST_ATTEMPTS):
        assert running._claim() is not None
        Reconciliation.objects.update(lease_until=clock.now() - timedelta(seconds=1))

    assert running._claim() is None
    row.refresh_from_db()
    assert row.state == ReconciliationState.FAILED


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
