"""Giving out cases in turn: fairly, up to a cap, past who is away, and again when somebody cannot decide any more."""

from collections import Counter
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Person, Team, User
from accounts.roles import Role
from approvals import claims, opening, pulling
from approvals.models import Review
from approvals.pushing import give_out
from auditlog.models import Entry
from opsdesk.lib import clock
from tests.factories import make_absence, make_case, make_desk, make_member, make_review
from workflows.models import Case, Run
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


def waiting(organization, many: int) -> None:
    """So many cases that nobody has, each due a minute after the one before."""
    for minute in range(many):
        make_review(make_case(organization), due_at=clock.now() + timedelta(minutes=minute + 10))


def team(**fields) -> Team:
    Team.objects.update(**fields)
    return Team.objects.get()


def carried() -> Counter[str]:
    names = Review.objects.open().exclude(assignee=None).values_list("assignee__username", flat=True)
    return Counter(names)


def test_cases_go_round_evenly(organization):
    waiting(organization, 9)

    assert give_out() == 9

    assert carried() == {"ada": 3, "ben": 3, "maya": 3}
    owners = list(Review.objects.order_by("due_at").values_list("assignee__username", flat=True))
    assert owners == ["ada", "ben", "maya"] * 3
    assert give_out() == 0
    assert Entry.objects.filter(verb="approvals.review.given").count() == 9


def test_a_case_that_opens_goes_to_whose_turn_it_is(organization, cast):
    for expected in (cast.ada, cast.ben, cast.maya, cast.ada):
        review = make_review(make_case(organization))
        opening.assign(review)
        assert review.assignee == expected


def test_nobody_gets_more_than_the_cap_and_the_rest_follows_when_there_is_room(organization, cast):
    team(cap=2)
    waiting(organization, 8)

    assert give_out() == 6
    assert carried() == {"ada": 2, "ben": 2, "maya": 2}
    assert give_out() == 0
    Review.objects.filter(assignee=cast.ben).update(state="void", closed_at=clock.now())

    assert give_out() == 2
    assert carried() == {"ada": 2, "ben": 2, "maya": 2}
    opened = make_review(make_case(organization))
    opening.assign(opened)
    assert (opened.assignee, opened.blocked_reason) == (None, "")


def test_who_is_away_is_passed_over_and_what_they_have_goes_to_others(organization, cast):
    waiting(organization, 4)
    give_out()
    held = Review.objects.filter(assignee=cast.maya).get()
    absent = {user.pk: make_absence(user, organization) for user in (cast.ada, cast.maya)}
    claims.claim(held.pk, by=cast.maya)  # she comes back to this one
    give_out()

    assert carried() == {"ben": 3, "maya": 1}
    assert Run.objects.get(pk=Review.objects.order_by("due_at")[0].run_id).reason == "Waits for Ben Marsh to decide."
    entry = Entry.objects.filter(verb="approvals.review.given").latest("pk")
    assert entry.reason == "Ada Okafor is away or may no longer decide it."
    assert absent


@pytest.mark.parametrize("lost", ["ended", "inactive", "role"])
def test_what_somebody_had_who_lost_the_right_goes_to_others(organization, cast, lost):
    review = make_review(make_case(organization), assignee=cast.ben)

    match lost:
        case "ended":
            cast.ben.memberships.update(ended_at=clock.now())
        case "inactive":
            User.objects.filter(pk=cast.ben.pk).update(is_active=False)
        case "role":
            cast.ben.memberships.update(role=Role.VIEWER)
    give_out()

    review.refresh_from_db()
    assert review.assignee in (cast.ada, cast.maya)


def test_nobody_is_given_what_they_asked_for(organization, cast):
    waiting(organization, 4)
    Case.objects.update(requested_by_user=cast.ada)

    give_out()

    assert carried() == {"ben": 2, "maya": 2}


def test_a_team_that_pulls_is_given_nothing_and_takes_it_itself(organization, cast):
    team(distribution=Team.Distribution.PULL)
    review = make_review(make_case(organization))
    opening.assign(review)
    opening.say_standing(review)

    assert give_out() == 0
    assert (review.assignee, review.blocked_reason) == (None, "")
    assert Run.objects.get(pk=review.run_id).reason == "Waits for whoever takes it to decide."
    assert pulling.take_next(cast.ada.memberships.get()) is not None
    Review.objects.filter(pk=review.pk).update(assignee=cast.ben)
    make_absence(cast.ben, organization)

    give_out()

    review.refresh_from_db()
    assert (review.assignee, review.blocked_reason) == (None, "")
    assert Entry.objects.get(verb="approvals.review.freed").before == {"assignee": "Ben Marsh"}


def test_what_was_blocked_is_given_once_somebody_may_decide_it(organization, cast):
    away = [make_absence(user, organization) for user in (cast.ada, cast.ben, cast.maya)]
    review = make_review(make_case(organization))
    opening.assign(review)
    assert review.blocked_reason == "Everybody in Refunds who may vote on this case is away."
    assert give_out() == 0
    newcomer = make_member(organization, "noor", Role.OPERATOR, teams=(Team.objects.get(),))

    assert give_out() == 1

    review.refresh_from_db()
    assert (review.assignee, review.blocked_reason) == (newcomer, "")
    assert review.escalated_at is not None
    assert away


def test_what_older_code_opened_learns_whom_it_asks(organization):
    team(distribution=Team.Distribution.PULL)
    waiting(organization, 1)

    assert give_out() == 0

    assert Review.objects.get().asks == [Team.objects.get().pk]


def test_what_leaves_by_itself_is_not_given_out(organization):
    make_review(make_case(organization), tier=Tier.FAST_TRACK)

    assert give_out() == 0


def test_one_that_breaks_holds_up_no_other(organization, monkeypatch):
    waiting(organization, 2)
    real, broken = opening.say_standing, Review.objects.earliest("due_at").pk

    def breaks(review):
        if review.pk == broken:
            raise ValueError("broken")
        real(review)

    monkeypatch.setattr("approvals.opening.say_standing", breaks)

    assert give_out() == 1
    assert Review.objects.get(pk=broken).assignee is None


# --- who stands above whom -------------------------------------------------------------------------------------------


def test_nobody_stands_above_themselves():
    top, middle, low = (Person.objects.create(name=name) for name in ("Top", "Middle", "Low"))
    low.manager, middle.manager = middle, top
    low.save()
    middle.save()

    assert low.above() == [middle, top]
    for manager in (low, top):
        with pytest.raises(IntegrityError), transaction.atomic():
            Person.objects.filter(pk=top.pk).update(manager=manager)
