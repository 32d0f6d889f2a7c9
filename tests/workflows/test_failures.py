"""What people do about failures: take on, retry some, resolve."""

import threading

import pytest
from django.db import connections, transaction

from auditlog.models import Entry
from tests import factories
from workflows import failures
from workflows.engine import failing
from workflows.errors import StepFailed
from workflows.failures import AlreadyResolved, ReasonMissing, StillOpen, acknowledge, resolve, retry_some
from workflows.models import Failure, FailureItem, Run
from workflows.states import CaseState, FailureKind, FailureState, RunState


@pytest.fixture
def failure(organization):
    return factories.make_failure(organization, items=8)


def entries(verb):
    return Entry.objects.filter(verb=f"workflows.failure.{verb}").order_by("pk")


def test_taking_a_failure_on_names_its_owner(failure, cast):
    acknowledge(failure.pk, by=cast.maya)

    failure.refresh_from_db()
    assert (failure.state, failure.owner) == (FailureState.ACKNOWLEDGED, cast.maya)
    [entry] = entries("acknowledged")
    assert (entry.user, entry.before, entry.after) == (cast.maya, {"owner": "nobody"}, {"owner": "Maya Nowak"})


def test_a_failure_can_be_taken_over(failure, cast):
    acknowledge(failure.pk, by=cast.maya)
    acknowledge(failure.pk, by=cast.tomasz)

    failure.refresh_from_db()
    assert failure.owner == cast.tomasz
    assert entries("acknowledged").last().before == {"owner": "Maya Nowak"}


def test_taking_on_what_one_has_already_is_told_once(failure, cast):
    acknowledge(failure.pk, by=cast.maya)
    acknowledge(failure.pk, by=cast.maya)

    assert entries("acknowledged").count() == 1


@pytest.mark.parametrize("count", [1, 5, 8])
def test_exactly_as_many_runs_are_tried_as_the_button_said_the_longest_waiting_first(failure, cast, count):
    oldest = list(failure.items.order_by("pk").values_list("run_id", flat=True))[:count]

    tried = retry_some(failure.pk, count, by=cast.maya, reason="The period is open again.")

    assert (tried.done, tried.refused) == (count, ())
    assert list(Run.objects.filter(state=RunState.READY).order_by("pk").values_list("pk", flat=True)) == oldest
    assert failures.standing(failure.pk).count() == 8 - count
    repaired = Entry.objects.filter(verb="workflows.run.repaired")
    assert {entry.reason for entry in repaired} == {"The period is open again."}
    assert repaired.count() == count


def test_the_last_retry_resolves_the_failure(failure, cast):
    retry_some(failure.pk, 8, by=cast.maya, reason="Mended.")

    failure.refresh_from_db()
    assert failure.state == FailureState.RESOLVED


def test_one_click_tries_no_more_than_a_bounded_number(failure, cast, monkeypatch):
    monkeypatch.setattr(failures, "MOST_AT_ONCE", 3)

    assert retry_some(failure.pk, 8, by=cast.maya, reason="Mended.").done == 3


def test_a_run_that_cannot_go_on_holds_up_no_other(failure, cast):
    first = failure.items.order_by("pk").first().run
    type(first.case).objects.filter(pk=first.case_id).update(state=CaseState.OPEN)

    tried = retry_some(failure.pk, 3, by=cast.maya, reason="Mended.")

    assert tried.done == 2
    assert tried.refused == (f"Run {first.pk}: This run has not failed: there is nothing to repair.",)


@pytest.mark.parametrize("reason", ["", "   "])
def test_without_a_reason_nothing_is_tried_or_resolved(failure, cast, reason):
    with pytest.raises(ReasonMissing):
        retry_some(failure.pk, 1, by=cast.maya, reason=reason)
    with pytest.raises(ReasonMissing):
        resolve(failure.pk, by=cast.maya, reason=reason)

    assert failures.standing(failure.pk).count() == 8
    assert not entries("resolved").exists()


def test_what_still_stops_runs_cannot_be_resolved(failure, cast):
    with pytest.raises(StillOpen):
        resolve(failure.pk, by=cast.maya, reason="I do not want to see it.")

    failure.refresh_from_db()
    assert failure.state == FailureState.OPEN


def test_a_failure_that_stops_nothing_any_more_can_be_resolved(organization, cast):
    failure = factories.make_failure(organization, items=1)
    Run.objects.filter(failure_items__failure=failure).update(state=RunState.CANCELED)

    resolve(failure.pk, by=cast.maya, reason="Nothing is left of it.")

    failure.refresh_from_db()
    assert failure.state == FailureState.RESOLVED
    assert not FailureItem.objects.filter(repaired_at=None).exists()
    [entry] = entries("resolved")
    assert (entry.user, entry.reason) == (cast.maya, "Nothing is left of it.")


@pytest.mark.parametrize("do", ["acknowledge", "resolve"])
def test_a_resolved_failure_is_left_alone(organization, cast, do):
    failure = factories.make_failure(organization, items=0, state=FailureState.RESOLVED)

    with pytest.raises(AlreadyResolved):
        if do == "acknowledge":
            acknowledge(failure.pk, by=cast.maya)
        else:
            resolve(failure.pk, by=cast.maya, reason="Again.")

    assert not Entry.objects.filter(verb__startswith="workflows.failure").exists()


@pytest.mark.django_db(transaction=True)
def test_a_failure_resolved_while_a_run_falls_under_it_is_opened_again():
    organization, cast = factories.make_desk()
    failed = StepFailed(FailureKind.DATA, "The period is closed.")
    run = factories.make_run(factories.make_case(organization, state=CaseState.FAILED), state=RunState.FAILED)
    print_ = failing.fingerprint("refund", "decide", "", failed.kind, failed.message)
    failure = factories.make_failure(organization, items=0, fingerprint=print_, message=failed.message)
    locked, done = threading.Event(), threading.Event()

    def close_it():
        try:
            with transaction.atomic():
                resolve(failure.pk, by=cast.maya, reason="Nothing stands under it.")
                locked.set()
                done.wait(1)
        finally:
            connections.close_all()

    closing = threading.Thread(target=close_it)
    closing.start()
    assert locked.wait(5)
    with transaction.atomic():
        # It reads the failure as still open, and then waits for the lock of whoever resolves it.
        failing.open_failure(run, workflow="refund", step="decide", failed=failed)
    done.set()
    closing.join()

    assert Failure.objects.get(pk=failure.pk).state == FailureState.OPEN
    assert failures.standing(failure.pk).count() == 1
