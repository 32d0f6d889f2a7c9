"""Refunds that fail after all: their cases come back, once, and payments are read again until all is known."""

from datetime import timedelta

from auditlog.models import Entry
from integrations import mirroring, sending
from integrations.models import Action, Payment
from opsdesk.lib import clock
from tests.plugins.line import Line, due_now, pass_time
from workflows.engine.intake import take_in
from workflows.engine.repairing import retry
from workflows.engine.running import claim
from workflows.models import Case, Event, Run
from workflows.states import CaseState
from workflows.tasks import tick


def done_refund(line: Line, amount: str = "19.80") -> tuple[Case, dict]:
    """A case that is done, and its refund as the gateway has it."""
    case = line.ask(amount)
    line.work()
    case.refresh_from_db()
    assert case.state == CaseState.DONE
    reference = Action.objects.get(case=case).external_reference
    return case, line.gateway.get(f"/v1/refunds/{reference}").json


def state_of(case: Case) -> str:
    case.refresh_from_db()
    return case.state


def test_a_refund_that_fails_days_later_brings_its_case_back(line: Line):
    case, refund = done_refund(line)
    line.news("refund.failed", line.gateway.fail(refund["id"]))

    line.work()

    assert state_of(case) == CaseState.FAILED
    assert case.standing.startswith("The gateway reports that a verified refund failed later")
    payment = Payment.objects.get()
    assert (payment.reserved_minor, payment.refunded_minor) == (0, 0)
    [entry] = Entry.objects.filter(verb="integrations.refund.failed_late")
    assert (entry.case_id, entry.after) == (case.pk, {"refund": refund["id"]})
    assert case.runs.count() == 2
    line.assert_sound()


def test_a_case_that_came_back_is_refunded_again_once(line: Line):
    case, refund = done_refund(line)
    line.news("refund.failed", line.gateway.fail(refund["id"]))
    line.work()

    retry(case.runs.first().pk, by=line.cast.maya, reason="The customer gave another account.")
    line.work()

    assert state_of(case) == CaseState.DONE
    assert [effect["amount"] for effect in line.refunds(case)] == [1980, 1980]
    assert Payment.objects.get().refunded_minor == 1980


def test_old_news_does_not_bring_a_repaired_case_back_again(line: Line):
    case, refund = done_refund(line)
    failed = line.gateway.fail(refund["id"])
    line.news("refund.failed", failed)
    line.work()
    retry(case.runs.first().pk, by=line.cast.maya, reason="The customer gave another account.")
    line.work()

    line.news("charge.refund.updated", {**failed, "amount": 1})  # differs, so the payment is read again
    line.work()

    assert state_of(case) == CaseState.DONE
    assert case.runs.count() == 2
    assert Entry.objects.filter(verb="integrations.refund.failed_late").count() == 1


def test_a_refund_that_fails_before_its_case_is_closed_does_not_leave_it_done(line: Line):
    case = line.ask("19.80")
    tick()
    sending.send_due()  # verified; the run has not looked yet
    refund = Action.objects.get().external_reference
    line.news("refund.failed", line.gateway.fail(refund))
    take_in()
    mirroring.reread_due()

    line.work()
    pass_time(timedelta(minutes=1))
    line.work()

    assert state_of(case) == CaseState.FAILED
    assert Payment.objects.get().refunded_minor == 0
    line.assert_sound()


def test_the_last_failure_counts_when_a_case_comes_back_twice(line: Line):
    case, refund = done_refund(line)
    for round_ in range(2):
        line.news("refund.failed", line.gateway.fail(refund["id"]))
        line.work()
        assert state_of(case) == CaseState.FAILED, round_
        retry(case.runs.first().pk, by=line.cast.maya, reason="Again.")
        line.work()
        assert state_of(case) == CaseState.DONE
        newest = Action.objects.filter(case=case).order_by("-pk").first()
        refund = line.gateway.get(f"/v1/refunds/{newest.external_reference}").json

    assert len(line.refunds(case)) == 3
    assert Payment.objects.get().refunded_minor == 1980


# --- reading again ---------------------------------------------------------------------------------------------------


def reread(line: Line, *rows: Payment) -> None:
    for row in rows:
        line.news("refund.updated", {"object": "refund", "payment_intent": row.reference})
    take_in()


def test_a_payment_that_cannot_be_read_now_is_read_later(line: Line):
    order = line.paid()
    line.ask("19.80", order=order)
    line.work()
    [row] = Payment.objects.all()
    line.gateway.refund_in_the_dashboard(row.reference, 100)
    reread(line, row)
    line.gateway.fault("503", method="GET", path="/v1/payment_intents")

    mirroring.reread_due()
    row.refresh_from_db()
    assert row.refunded_minor == 1980
    line.let_pass(seconds=31)

    row.refresh_from_db()
    assert (row.refunded_minor, row.reread_at) == (2080, None)


def test_a_payment_is_not_read_earlier_than_the_gateway_says(line: Line):
    line.ask("19.80")
    line.work()
    [row] = Payment.objects.all()
    reread(line, row)
    line.gateway.fault("429=300", method="GET", path="/v1/payment_intents")

    mirroring.reread_due()

    row.refresh_from_db()
    assert row.reread_at - clock.now() > timedelta(seconds=290)


def test_one_payment_that_breaks_does_not_keep_others_from_being_read(line: Line):
    for _ in range(3):
        line.ask("19.80")
    line.work()
    rows = list(Payment.objects.order_by("pk"))
    for row in rows:
        line.gateway.refund_in_the_dashboard(row.reference, 100)
    reread(line, *rows)
    Payment.objects.filter(pk=rows[0].pk).update(reference="pi_" + "x" * 95)  # no reference of the gateway
    other = type(line.connection).objects.create(
        organization=line.organization, slug="fax", name="Fax", connector="no-such-protocol"
    )
    Payment.objects.filter(pk=rows[1].pk).update(connection=other)

    mirroring.reread_due()

    rows[2].refresh_from_db()
    assert (rows[2].refunded_minor, rows[2].reread_at) == (2080, None)


def test_the_events_of_a_replayed_gateway_end_in_the_same_sums(line: Line):
    """Everything the gateway ever said about a refund, in each of some orders, with duplicates."""
    case, _ = done_refund(line)
    payment = Payment.objects.get()
    dashboard = line.gateway.refund_in_the_dashboard(payment.reference, 700)
    line.gateway.fail(dashboard["id"])
    told = line.gateway.get("/v1/events?limit=100").json["data"]
    assert len(told) >= 6

    for round_ in range(6):
        order = told[round_:] + told[:round_]
        for event in [*order, *reversed(order)]:
            line.news(event["type"], event["data"]["object"])
        line.work()
        line.let_pass(seconds=6)
        payment.refresh_from_db()
        assert (payment.reserved_minor, payment.refunded_minor) == (0, 1980)
        assert state_of(case) == CaseState.DONE

    assert not Event.objects.filter(state="received").exists()
    line.assert_sound()


def test_runs_wait_for_nothing_that_is_done(line: Line):
    done_refund(line)

    due_now(Run.objects.all())

    assert claim() == []
