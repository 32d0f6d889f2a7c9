"""What people take on: asked for when a case is given or taken, never when a vote is cast."""

import pytest

from accounts.models import Team
from approvals import opening, pulling
from approvals.models import Review, Skill
from approvals.pushing import give_out
from tests.factories import make_case, make_desk, make_review

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


def waiting(organization, **fields) -> Review:
    return make_review(make_case(organization, **fields))


def test_the_next_case_is_one_that_fits_and_any_other_once_there_is_none(organization, cast):
    Skill.objects.create(organization=organization, user=cast.ada, currency="EUR", reason="damaged")
    Skill.objects.create(organization=organization, user=cast.ada, kind="refund", currency="JPY")
    Skill.objects.create(organization=organization, user=cast.ada, enabled=False)
    given = make_review(make_case(organization), assignee=cast.ada)
    plain, euros, damaged, yen = (
        waiting(organization, currency=currency, reason=reason)
        for currency, reason in (("GBP", "damaged"), ("EUR", "returned"), ("EUR", "damaged"), ("JPY", "returned"))
    )
    member = cast.ada.memberships.get()

    taken = [pulling.take_next(member) for _ in range(6)]

    assert [claim and claim.review for claim in taken] == [given, damaged, yen, plain, euros, None]


def test_cases_are_given_to_those_who_take_them_on_and_to_all_where_nobody_does(organization, cast):
    for user, currency in ((cast.ada, "EUR"), (cast.ben, "GBP"), (cast.maya, "GBP")):
        Skill.objects.create(organization=organization, user=user, currency=currency)
    euros, yen = waiting(organization, currency="EUR"), waiting(organization, currency="JPY")
    pounds = [waiting(organization) for _ in range(2)]

    give_out()

    owners = dict(Review.objects.values_list("pk", "assignee__username"))
    assert owners[euros.pk] == "ada"
    assert {owners[each.pk] for each in pounds} == {"ben", "maya"}
    assert owners[yen.pk] is not None
    opened = waiting(organization, currency="EUR")
    opening.assign(opened)
    assert opened.assignee == cast.ada


def test_whoever_has_the_skill_and_no_room_is_waited_for(organization, cast):
    Team.objects.update(cap=1)
    for user, currency in ((cast.ada, "EUR"), (cast.ben, "GBP"), (cast.maya, "GBP")):
        Skill.objects.create(organization=organization, user=user, currency=currency)
    for currency in ("EUR", "EUR", "GBP"):
        waiting(organization, currency=currency)

    assert give_out() == 2
    assert Review.objects.filter(assignee=None).get().case.currency == "EUR"
