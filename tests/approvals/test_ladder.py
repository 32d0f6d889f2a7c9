"""The ladder of a tier: reminders, handing over, managers, and what time never does."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine

from accounts.models import BusinessCalendar
from approvals import claims, rungs, services
from approvals.ladder import climb
from approvals.models import Review, Rung, TierSettings, Vote
from approvals.states import ReviewState
from auditlog.models import Entry
from integrations.models import Notice
from opsdesk.lib import clock
from tests.approvals.desk import signed_in, url
from tests.factories import make_case, make_desk, make_member, make_review
from workflows.models import Authorization
from workflows.states import Tier

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk():
    return make_desk()


@pytest.fixture
def organization(desk):
    return desk[0]


@pytest.fixture
def cast(desk):
    return desk[1]


def ladder(organization, *steps, tier=Tier.FULL_REVIEW) -> None:
    settings = TierSettings.objects.get(organization=organization, tier=tier)
    for position, (after, what) in enumerate(steps):
        Rung.objects.create(tier=settings, position=position, after_minutes=after, what=what)


def opened(organization, minutes_ago: int, **fields) -> Review:
    """A review that was opened so long ago and stands before its first rung."""
    review = make_review(make_case(organization), opened_at=clock.now() - timedelta(minutes=minutes_ago), **fields)
    rungs.begin(review)
    return review


def told(review: Review) -> list[tuple[str, str]]:
    """What the ladder did, as verb and reason."""
    entries = Entry.objects.filter(subject_kind="review", subject_id=review.pk, actor="escalation ladder")
    return [(entry.verb.rpartition(".")[2], entry.reason) for entry in entries.order_by("pk")]


def noticed() -> set[str]:
    return set(Notice.objects.filter(channel="app").values_list("recipient__username", flat=True))


def below(cast) -> None:
    """Maya stands above Ada, Tomasz above Maya."""
    for person, manager in ((cast.ada.person, cast.maya.person), (cast.maya.person, cast.tomasz.person)):
        person.manager = manager
        person.save()


def test_each_rung_is_climbed_once_at_its_time(organization, cast):
    below(cast)
    ladder(organization, (30, "remind"), (60, "manager"), (90, "managers_manager"))
    review = opened(organization, 31, assignee=cast.ada)

    assert climb() == 1
    assert climb() == 0
    assert told(review) == [("reminded", "It has waited 30 business minutes. Ada Okafor was reminded.")]
    assert noticed() == {"ada"}
    review.refresh_from_db()
    assert (review.climbed_minutes, review.escalated_at) == (30, None)
    with time_machine.travel(clock.now() + timedelta(minutes=30), tick=False):
        Review.objects.update(rung_due_at=clock.now() - timedelta(days=1))  # the database's clock stays
        assert climb() == 1
    with time_machine.travel(clock.now() + timedelta(minutes=60), tick=False):
        Review.objects.update(rung_due_at=clock.now() - timedelta(days=1))
        assert climb() == 1

    assert told(review)[1:] == [
        ("escalated", "It has waited 60 business minutes. Maya Nowak was told."),
        ("escalated", "It has waited 90 business minutes. Tomasz Kowal was told."),
    ]
    review.refresh_from_db()
    assert review.rung_due_at is None
    assert review.escalated_at is not None
    page = signed_in(cast.ada).get(url("case", review)).content.decode()
    assert "It has waited 30 business minutes. Ada Okafor was reminded." in page


def test_rungs_that_were_missed_follow_in_order(organization, cast):
    ladder(organization, (10, "remind"), (20, "reassign"), (20, "manager"), (500, "managers_manager"))
    review = opened(organization, 100, assignee=cast.ada)

    assert climb() == 3

    assert [verb for verb, _ in told(review)] == ["reminded", "given", "escalated"]
    review.refresh_from_db()
    assert review.assignee == cast.ben
    assert review.rung_due_at == review.opened_at + timedelta(minutes=500)


def test_time_counts_as_the_organization_works(organization, cast):
    BusinessCalendar.objects.filter(organization=organization).update(
        weekdays=[0, 1, 2, 3, 4], opens_at="09:00", closes_at="17:00"
    )
    ladder(organization, (60, "remind"))
    friday = datetime(2026, 11, 20, 16, 30, tzinfo=ZoneInfo("Europe/London"))

    review = make_review(make_case(organization), opened_at=friday)
    rungs.begin(review)

    assert review.rung_due_at == datetime(2026, 11, 23, 9, 30, tzinfo=ZoneInfo("Europe/London"))


def test_handing_over_skips_who_asked_and_leaves_it_with_whoever_is_at_it(organization, cast):
    ladder(organization, (10, "reassign"))
    asked, held, alone = (opened(organization, 11, assignee=cast.ada) for _ in range(3))
    asked.case.requested_by_user = cast.ben
    asked.case.save()
    claims.claim(held.pk, by=cast.ada)
    for user in (cast.ben, cast.maya):
        Vote.objects.create(
            review=alone,
            stage=9,
            voter=user,
            person_key=f"person-{user.person_id}",
            verdict="approve",
            reason_code=organization.reason_codes.first(),
            content_hash=alone.content_hash,
        )

    climb()

    owners = {review.pk: review.assignee for review in Review.objects.select_related("assignee")}
    assert owners == {asked.pk: cast.maya, held.pk: cast.ada, alone.pk: cast.ada}
    assert told(held) == [("kept", "It has waited 10 business minutes. Ada Okafor has it open, so it stays with them.")]
    assert told(alone) == [("kept", "It has waited 10 business minutes. Nobody else may decide it.")]


def test_without_anybody_above_every_manager_is_told(organization, cast):
    ladder(organization, (10, "manager"))
    unowned, owned = opened(organization, 11), opened(organization, 11, assignee=cast.ada)
    cast.ada.person.manager = make_member(organization, "gone", "manager").person
    cast.ada.person.save()
    cast.ada.person.manager.accounts.update(is_active=False)

    climb()

    assert noticed() == {"maya"}
    assert told(unowned)[0][1].endswith(
        "Nobody stands above a case that nobody has, so every manager was told: Maya Nowak."
    )
    assert told(owned)[0][1].endswith("Nobody stands above Ada Okafor, so every manager was told: Maya Nowak.")


def test_what_is_decided_or_leaves_is_not_climbed_and_nothing_is_ever_authorized(organization, cast):
    ladder(organization, (1, "remind"), (2, "reassign"), (3, "manager"), (4, "managers_manager"))
    waiting = opened(organization, 1_000, assignee=cast.ada)
    decided = opened(organization, 1_000, assignee=cast.ada)
    Review.objects.filter(pk=decided.pk).update(state=ReviewState.VOID, closed_at=clock.now())

    assert climb() == 4

    waiting.refresh_from_db()
    assert waiting.state == ReviewState.OPEN
    assert told(decided) == []
    assert not Authorization.objects.exists()
    assert not Vote.objects.exists()


def test_an_objection_begins_the_ladder_of_a_full_review(organization, cast):
    ladder(organization, (45, "remind"))
    leaving = make_review(make_case(organization), tier=Tier.FAST_TRACK)

    services.object_to(leaving.pk, by=cast.maya, text="The customer called.")

    leaving.refresh_from_db()
    assert leaving.rung_due_at == leaving.opened_at + timedelta(minutes=45)
