"""What people do about failures: take on, ignore, resolve."""

import threading
from datetime import timedelta

import pytest
from django.db import connections, transaction

from accounts.roles import Role
from auditlog.models import Entry
from opsdesk.counts import COUNTERS
from opsdesk.lib import clock
from tests import factories
from workflows import failures
from workflows.engine import failing
from workflows.errors import StepFailed
from workflows.failures import (
    AlreadyResolved,
    NoRepairer,
    NotIgnorable,
    ReasonMissing,
    StillOpen,
    acknowledge,
    hand_over,
    heed,
    ignore,
    resolve,
)
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


def test_a_failure_is_handed_to_a_colleague(failure, cast):
    hand_over(failure.pk, to=cast.tomasz, by=cast.maya, reason="He knows the gateway")
    hand_over(failure.pk, to=cast.maya, by=cast.tomasz, reason="Back from leave")
    hand_over(failure.pk, to=cast.maya, by=cast.tomasz, reason="Once more")

    failure.refresh_from_db()
    assert (failure.state, failure.owner) == (FailureState.ACKNOWLEDGED, cast.maya)
    first, second = entries("handed_over")
    assert (first.user, first.before, first.after) == (cast.maya, {"owner": "nobody"}, {"owner": str(cast.tomasz)})
    assert (second.user, second.reason) == (cast.tomasz, "Back from leave")


@pytest.mark.parametrize("why_not", ["role", "left", "elsewhere"])
def test_nobody_gets_a_failure_who_could_do_nothing_about_it(failure, cast, why_not):
    to = {"role": cast.ada, "left": cast.tomasz}.get(why_not)
    if why_not == "left":
        to.memberships.update(ended_at=clock.now())
    if to is None:
        to = factories.make_member(factories.make_organization("elsewhere"), "zoe", Role.ADMIN)

    with pytest.raises(NoRepairer):
        hand_over(failure.pk, to=to, by=cast.maya, reason="Please")

    failure.refresh_from_db()
    assert (failure.owner, failure.state) == (None, FailureState.OPEN)
    assert not entries("handed_over")


def test_taking_on_what_one_has_already_is_told_once(failure, cast):
    acknowledge(failure.pk, by=cast.maya)
    acknowledge(failure.pk, by=cast.maya)

    assert entries("acknowledged").count() == 1


@pytest.mark.parametrize("reason", ["", "   "])
def test_without_a_reason_nothing_is_ignored_or_resolved(failure, cast, reason):
    with pytest.raises(ReasonMissing):
        ignore(failure.pk, by=cast.maya, until=clock.now() + timedelta(days=1), reason=reason)
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


def counted(cast):
    """What the navigation counts."""
    return COUNTERS["failures"](cast.maya.memberships.get()).count()


def test_an_ignored_failure_is_not_counted_until_its_time_is_over(failure, cast):
    assert counted(cast) == 1

    ignore(failure.pk, by=cast.maya, until=clock.now() + timedelta(days=7), reason="The ledger is mended on Monday.")

    assert counted(cast) == 0
    assert list(Failure.objects.ignored()) == [failure]
    [entry] = entries("ignored")
    assert (entry.user, entry.reason) == (cast.maya, "The ledger is mended on Monday.")
    Failure.objects.update(ignored_until=clock.now() - timedelta(seconds=1))
    assert counted(cast) == 1
    assert not Failure.objects.ignored().exists()


def test_what_falls_under_an_ignored_failure_is_collected(organization, cast):
    failed = StepFailed(FailureKind.DATA, "The period is closed.")
    run = factories.make_run(factories.make_case(organization, state=CaseState.FAILED), state=RunState.FAILED)
    failure = failing.open_failure(run, workflow="refund", step="decide", failed=failed)
    ignore(failure.pk, by=cast.maya, until=clock.now() + timedelta(hours=1), reason="Known.")
    again = factories.make_run(factories.make_case(organization, state=CaseState.FAILED), state=RunState.FAILED)

    failing.open_failure(again, workflow="refund", step="decide", failed=failed)

    assert counted(cast) == 0
    assert failures.standing(failure.pk).count() == 2


def test_a_person_wants_to_hear_of_it_again(failure, cast):
    ignore(failure.pk, by=cast.maya, until=clock.now() + timedelta(days=7), reason="Known.")

    heed(failure.pk, by=cast.tomasz)

    assert counted(cast) == 1
    assert entries("heeded").get().user == cast.tomasz


@pytest.mark.parametrize("length", [timedelta(0), timedelta(days=-1), timedelta(days=31)])
def test_nobody_ignores_for_ever_or_until_yesterday(failure, cast, length):
    with pytest.raises(NotIgnorable):
        ignore(failure.pk, by=cast.maya, until=clock.now() + length, reason="Away with it.")


def test_what_is_resolved_and_comes_again_is_counted_again(organization, cast):
    failed = StepFailed(FailureKind.DATA, "The period is closed.")
    run = factories.make_run(factories.make_case(organization, state=CaseState.FAILED), state=RunState.FAILED)
    failure = failing.open_failure(run, workflow="refund", step="decide", failed=failed)
    acknowledge(failure.pk, by=cast.maya)
    ignore(failure.pk, by=cast.maya, until=clock.now() + timedelta(days=7), reason="Known.")
    Run.objects.filter(pk=run.pk).update(state=RunState.CANCELED)
    resolve(failure.pk, by=cast.maya, reason="Withdrawn.")
    assert counted(cast) == 0
    again = factories.make_run(factories.make_case(organization, state=CaseState.FAILED), state=RunState.FAILED)

    failing.open_failure(again, workflow="refund", step="decide", failed=failed)

    failure.refresh_from_db()
    assert (failure.state, failure.owner, failure.ignored_until) == (FailureState.OPEN, None, None)
    assert counted(cast) == 1
    assert entries("reopened").count() == 1


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
