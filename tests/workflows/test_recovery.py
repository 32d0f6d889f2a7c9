"""Recovery mode: who holds back what, how it begins, and who signs its end."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from accounts.roles import Role
from approvals import timers
from approvals.states import ReviewState
from auditlog.models import Entry
from integrations import claiming, notices
from integrations.models import Notice
from integrations.states import ActionState
from opsdesk.lib import clock
from tests import factories
from tests.plugins.line import tick_intake
from tests.races import at_once
from workflows.engine import running
from workflows.models import Authorization, Recovery, RecoverySignature
from workflows.recovery import mode
from workflows.recovery.mode import AlreadyRecovering, NotRecovering, ReasonMissing, SignedBefore
from workflows.states import CaseState, EventState, RecoveryCause, RecoveryState, RunState, Tier

pytestmark = pytest.mark.django_db


@pytest.fixture
def second_admin(organization):
    return factories.make_member(organization, "zofia", Role.ADMIN)


def declare(organization, by=None):
    return mode.declare(organization.pk, by=by, reason="The backup of noon was put back.", since=clock.now())


def entries(verb):
    return Entry.objects.filter(verb=f"workflows.recovery.{verb}").order_by("pk")


def test_nothing_is_claimed_while_an_organization_recovers(organization, cast):
    run = factories.make_run(factories.make_case(organization))
    action = factories.make_action(run)
    declare(organization, cast.tomasz)

    assert running.claim() == []
    assert claiming.claim(20).actions == []
    run.refresh_from_db()
    action.refresh_from_db()
    assert (run.state, action.state) == (RunState.READY, ActionState.RESERVED)


def test_another_organization_goes_on_meanwhile(organization, cast):
    elsewhere, _ = factories.make_desk("elsewhere", suffix="-e")
    mine = factories.make_run(factories.make_case(elsewhere))
    factories.make_run(factories.make_case(organization))
    declare(organization, cast.tomasz)

    assert running.claim() == [mine]


def test_what_was_sent_is_still_read_back(organization, cast):
    action = factories.make_action(
        factories.make_run(factories.make_case(organization)),
        state=ActionState.SUCCEEDED, due_at=clock.now(), external_reference="re_1",
    )  # fmt: skip
    declare(organization, cast.tomasz)

    assert claiming.claim(20).actions == [action]


def test_no_timer_authorizes_meanwhile(organization, cast):
    review = factories.make_review(
        factories.make_case(organization, amount="80.00"),
        tier=Tier.FAST_TRACK,
        objection_ends_at=clock.now() - timedelta(minutes=1),
    )
    declare(organization, cast.tomasz)

    timers.settle_due()

    review.refresh_from_db()
    assert review.state == ReviewState.OPEN
    assert not Authorization.objects.exists()


def test_no_mail_goes_out_meanwhile(organization, cast):
    notices.tell([cast.ada], case=factories.make_case(organization), topic="t", subject="s", body="b", path="/")
    declare(organization, cast.tomasz)

    assert notices.deliver_due() == 0
    assert Notice.objects.get(channel="mail").attempts == 0


def test_events_are_taken_in_meanwhile(organization, cast):
    factories.make_workflow(organization)
    event = factories.make_event(organization, b'{"type": "nothing.known", "data": {}}')
    declare(organization, cast.tomasz)

    tick_intake()

    event.refresh_from_db()
    assert event.state != EventState.RECEIVED


def test_a_declared_recovery_says_who_and_why(organization, cast):
    recovery = declare(organization, cast.tomasz)

    assert (recovery.cause, recovery.begun_by) == (RecoveryCause.DECLARED, cast.tomasz)
    [entry] = entries("begun")
    assert (entry.user, entry.reason) == (cast.tomasz, "The backup of noon was put back.")
    with pytest.raises(AlreadyRecovering):
        declare(organization, cast.tomasz)
    with pytest.raises(ReasonMissing):
        mode.declare(organization.pk, by=cast.tomasz, reason=" ", since=clock.now())


def test_one_signature_ends_it(organization, cast):
    recovery = declare(organization, cast.tomasz)

    mode.sign(recovery.pk, by=cast.tomasz, reason="Everything is accounted for.")

    recovery.refresh_from_db()
    assert recovery.state == RecoveryState.ENDED
    assert list(mode.held()) == []
    assert [entries("signed").count(), entries("ended").get().reason] == [1, "Everything is accounted for."]
    with pytest.raises(NotRecovering):
        mode.sign(recovery.pk, by=cast.tomasz, reason="Again.")


def test_where_two_sign_one_person_does_not_sign_twice(organization, cast, second_admin):
    organization.recovery_signatures = 2
    organization.save(update_fields=["recovery_signatures"])
    recovery = declare(organization, cast.tomasz)

    mode.sign(recovery.pk, by=cast.tomasz, reason="I read it.")
    alias = factories.make_member(organization, "tomasz-too", Role.ADMIN)
    alias.person = cast.tomasz.person
    for again in (cast.tomasz, alias):
        with pytest.raises(SignedBefore):
            mode.sign(recovery.pk, by=again, reason="I read it again.")
    assert list(mode.held()) == [organization.pk]

    mode.sign(recovery.pk, by=second_admin, reason="I read it, too.")

    assert list(mode.held()) == []
    assert RecoverySignature.objects.count() == 2


def test_a_signature_without_a_reason_is_none(organization, cast):
    recovery = declare(organization, cast.tomasz)

    with pytest.raises(ReasonMissing):
        mode.sign(recovery.pk, by=cast.tomasz, reason="  ")

    assert not RecoverySignature.objects.exists()


def test_a_second_restore_looks_back_further(organization):
    now = clock.now()
    mode.begin_everywhere(RecoveryCause.TIDE, "Older.", since=now - timedelta(hours=1))
    begun = mode.begin_everywhere(RecoveryCause.TIDE, "Older still.", since=now - timedelta(hours=5))

    assert begun == 0
    assert Recovery.objects.get().since == now - timedelta(hours=5)


@pytest.mark.django_db(transaction=True)
def test_two_who_declare_at_once_begin_one(desk_of_threads):
    organization, cast = desk_of_threads

    outcomes = at_once(*[lambda: declare(organization, cast.tomasz)] * 4)

    assert sum(isinstance(each, Recovery) for each in outcomes) == 1
    assert sum(isinstance(each, AlreadyRecovering) for each in outcomes) == 3


@pytest.fixture
def desk_of_threads(transactional_db):
    return factories.make_desk()


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"state": "over"}, "workflows_recovery_known_state"),
        ({"cause": "weather"}, "workflows_recovery_known_cause"),
        ({"state": RecoveryState.ENDED}, "workflows_recovery_ended_at_iff_ended"),
        ({"signatures_needed": 0}, "workflows_recovery_one_or_two_sign"),
    ],
)
def test_the_database_refuses_what_no_recovery_can_be(organization, cast, changes, constraint):
    recovery = declare(organization, cast.tomasz)

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Recovery.objects.filter(pk=recovery.pk).update(**changes)


def test_the_database_refuses_a_second_open_one(organization, cast):
    declare(organization, cast.tomasz)

    with pytest.raises(IntegrityError, match="workflows_recovery_one_open_per_organization"), transaction.atomic():
        Recovery.objects.create(organization=organization, cause=RecoveryCause.TIDE, reason="Twice.", since=clock.now())


def test_a_failed_case_is_not_repaired_into_acting(organization, cast):
    failure = factories.make_failure(organization)
    declare(organization, cast.tomasz)
    case = failure.items.get().run.case

    assert case.state == CaseState.FAILED
    assert running.claim() == []
