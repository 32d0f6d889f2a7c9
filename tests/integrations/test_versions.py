"""Runs that wait for people for days while their workflow changes: each finishes on the version it began with."""

from collections import Counter

from accounts.models import User
from approvals.models import Review
from approvals.states import ReviewState
from tests.plugins.line import Line, vote
from workflows.models import Case, Run, StepRun
from workflows.publishing import new_draft, publish

WAITING = 20


def ask_many(line: Line, many: int, amount: str) -> list[Case]:
    """Requests of as many customers, taken in and worked on."""
    references = []
    for number in range(many):
        customer = f"customer{amount}{number}"
        said = line.request(line.paid(customer=customer), amount, customer=customer)
        line.hear("refund.requested", said)
        references.append(said["reference"])
    line.work()
    return list(Case.objects.filter(key__in=references).order_by("pk"))


def approve_all(ben: User) -> None:
    for review in Review.objects.filter(state=ReviewState.OPEN).order_by("pk"):
        vote(review, ben)


def test_runs_that_wait_for_days_finish_on_the_version_they_began_with(line: Line) -> None:
    waiting = ask_many(line, WAITING, "200.00")
    first = Run.objects.filter(case__in=waiting).first().version

    draft = new_draft(first, by=line.cast.tomasz, reason="Another order.")
    draft.steps.filter(key="refund").update(key="pay_back")
    second = publish(draft, by=line.cast.ines, reason="Another order.")
    line.let_pass(days=3)
    new = ask_many(line, 2, "300.00")
    approve_all(line.cast.ben)
    line.let_pass(minutes=1)

    assert Counter(Case.objects.values_list("state", flat=True)) == {"done": WAITING + 2}
    for cases, version, step in ((waiting, first, "refund"), (new, second, "pay_back")):
        runs = Run.objects.filter(case__in=cases)
        assert set(runs.values_list("version", flat=True)) == {version.pk}
        assert StepRun.objects.filter(run__in=runs, key=step, outcome="done").count() == len(cases)
    assert len(line.refunds()) == WAITING + 2
    line.assert_sound()
