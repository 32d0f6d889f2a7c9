"""Refunds that are done here and there, and what a comparison of both finds."""

import uuid
from datetime import timedelta

from integrations.models import Break
from integrations.reconciliation import asking, running
from tests.plugins.line import open_review_of, vote
from workflows.states import CaseState


def nothing_is_young(monkeypatch):
    """A fixture: the gateway's clock cannot be moved, so what it did just now counts as done long ago."""
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
