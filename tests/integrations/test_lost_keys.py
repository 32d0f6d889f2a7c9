"""Money that went back under a key that nobody knows: it is found, it counts, and beside it nothing is sent."""

import pytest

from integrations.models import Break, Payment
from integrations.reconciliation import settling
from integrations.states import BreakKind, Remedy
from opsdesk.lib import clock
from tests.integrations.comparing import approved, lost_refund, nothing_is_young, reconciled, refunded
from workflows.states import CaseState

pytestmark = pytest.mark.django_db
long_ago = pytest.fixture(autouse=True)(nothing_is_young)


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
