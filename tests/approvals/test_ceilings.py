"""What one person may let go: of one case and in a day, with whichever account, for themselves or for others."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, ProgrammingError, transaction
from django.urls import reverse

from accounts.models import User
from accounts.roles import Role
from approvals import grants, opening, services, voters
from approvals.errors import AboveCeiling, DayUsedUp, NotAVoter
from approvals.models import Ceiling, ReasonCode, Review, RunningLimit, Vote
from approvals.services import Rationale
from approvals.states import ReviewState, Verdict
from approvals.timers import settle
from auditlog.models import Entry
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from tests.approvals.desk import signed_in, url
from tests.factories import at, make_absence, make_case, make_desk, make_member, make_review
from tests.races import at_once
from workflows.models import Authorization

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


@pytest.fixture
def review(organization):
    """£141.48; Ada, Ben and Maya may decide it."""
    return make_review(make_case(organization))


def cap(user: User, amount: str, currency: str = "GBP") -> Ceiling:
    organization = user.memberships.get().organization
    return Ceiling.objects.create(
        organization=organization, user=user, currency=currency, amount_minor=Money.parse(amount, currency).minor
    )


def vote(review: Review, voter: User, verdict: Verdict = Verdict.APPROVE, amount: Money | None = None) -> Review:
    code = ReasonCode.objects.filter(organization=review.organization_id, verdict=verdict, text_needed=False).first()
    return services.decide(
        review.pk,
        voter=voter,
        verdict=verdict,
        rationale=Rationale(code),
        seen=review.content_hash,
        amount=amount,
    )


def settled(review: Review) -> Review:
    Review.objects.filter(pk=review.pk).update(settles_at=clock.now() - timedelta(seconds=1))
    assert settle(review.pk) == 1
    review.refresh_from_db()
    return review


# --- ceilings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("141.47", "GBP", r"£141\.48 is above £141\.47"),
        ("9999.00", "EUR", "there is no ceiling in GBP"),
    ],
)
def test_nobody_decides_above_their_ceiling(review, cast, amount, currency, words):
    cap(cast.ada, amount, currency)

    for verdict in Verdict:
        with pytest.raises(AboveCeiling, match=words):
            vote(review, cast.ada, verdict)

    assert not Vote.objects.exists()
    assert cast.ada not in voters.eligible(review, voters.stage_of(review))
    vote(review, cast.ben)


def test_a_ceiling_holds_up_to_and_with_its_amount(review, cast):
    cap(cast.ada, "141.48")

    assert vote(review, cast.ada).state == ReviewState.APPROVING


def test_a_second_account_of_the_person_has_the_same_ceiling(review, cast, organization):
    cap(cast.ada, "50.00")
    other = make_member(organization, "ada2", Role.MANAGER, teams=(organization.teams.get(),))
    User.objects.filter(pk=other.pk).update(person=cast.ada.person)

    with pytest.raises(AboveCeiling):
        vote(review, User.objects.get(pk=other.pk))


def test_whoever_stands_in_is_bound_by_both_ceilings(review, cast, organization):
    organization.teams.get().members.remove(cast.ben)
    make_absence(cast.ada, organization, delegate=cast.ben)
    limit = cap(cast.ada, "50.00")

    with pytest.raises(NotAVoter, match="This is above what Ada Okafor, for whom you stand in, may decide"):
        vote(review, cast.ben)
    Ceiling.objects.filter(pk=limit.pk).update(ended_at=clock.now())
    later = make_review(make_case(organization))
    cap(cast.ben, "50.00")
    with pytest.raises(AboveCeiling):
        vote(later, cast.ben)


def test_a_case_nobody_may_decide_so_high_is_blocked_and_escalated(review, cast):
    for user in (cast.ada, cast.ben, cast.maya):
        cap(user, "100.00")

    opening.assign(review)

    assert review.assignee is None
    assert review.escalated_at is not None
    assert review.blocked_reason == "It is above what anybody in Refunds may decide, or may still approve today."


def test_a_ceiling_set_after_the_vote_asks_again_before_it_takes_effect(review, cast):
    vote(review, cast.ada)
    cap(cast.ada, "100.00")

    assert settled(review).state == ReviewState.VOID
    assert not Authorization.objects.exists()


def test_a_ceiling_set_after_the_authorization_voids_it_when_it_is_used(review, cast):
    vote(review, cast.ada)
    settled(review)
    authorization = Authorization.objects.get()
    assert grants.why_void(authorization) == ""

    cap(cast.ada, "100.00")

    assert grants.why_void(authorization) == (
        "Ada Okafor approved this, and £141.48 is above £100.00, their ceiling: it has to be decided again."
    )


def test_raising_a_ceiling_changes_nothing_about_what_is_open(review, cast, organization):
    low = at(cap(cast.ada, "100.00"), ended_at=clock.now())
    cap(cast.ada, "500.00")

    with pytest.raises(AboveCeiling, match=r"above £100\.00"):
        vote(review, cast.ada)
    opened_since = make_review(make_case(organization), opened_at=low.ended_at + timedelta(seconds=1))
    assert vote(opened_since, cast.ada).state == ReviewState.APPROVING


def test_the_page_says_so_before_anything_is_pressed(review, cast):
    cap(cast.ada, "100.00")

    page = signed_in(cast.ada).get(url("case", review)).content.decode()

    assert "This is above what you may decide (£141.48 is above £100.00): somebody else has to." in page


def test_the_database_keeps_what_was_set(cast):
    limit = cap(cast.ada, "100.00")

    with pytest.raises(ProgrammingError, match="Cannot update"):
        Ceiling.objects.filter(pk=limit.pk).update(amount_minor=1)


def test_a_ceiling_is_not_negative_and_stands_once(cast):
    cap(cast.ada, "100.00")
    with pytest.raises(IntegrityError, match="approvals_ceiling_one_standing"), transaction.atomic():
        cap(cast.ada, "200.00")
    with pytest.raises(IntegrityError, match="approvals_ceiling_is_an_amount"), transaction.atomic():
        cap(cast.ben, "-1.00")


def test_ceilings_are_set_changed_and_taken_away_in_the_admin(cast):
    client, add = signed_in(cast.tomasz), reverse("admin:approvals_ceiling_add")
    typed = {"user": cast.ada.pk, "currency": "GBP", "amount": "100.00", "change_reason": "New here"}

    assert client.post(add, {**typed, "amount": ""}).status_code == 200
    assert client.post(add, typed).status_code == 302
    assert "change that one" in client.post(add, typed).content.decode()
    [first] = Ceiling.objects.all()
    change = reverse("admin:approvals_ceiling_change", args=[first.pk])
    assert client.post(change, {"amount": "250.00", "change_reason": "Learned a lot"}).status_code == 302
    second = Ceiling.objects.get(ended_at=None)
    away = reverse("admin:approvals_ceiling_change", args=[second.pk])
    assert client.post(away, {"amount": "250.00", "ends": "on", "change_reason": "Left"}).status_code == 302

    assert [(row.amount_minor, row.ended_at is None) for row in Ceiling.objects.order_by("pk")] == [
        (100_00, False),
        (250_00, False),
    ]
    entries = Entry.objects.filter(subject_kind="ceiling").order_by("pk")
    assert [entry.reason for entry in entries] == ["New here", "Learned a lot", "Left"]
    assert (entries[1].before["amount_minor"], entries[1].after["amount_minor"]) == (100_00, 250_00)
    assert client.get(reverse("admin:approvals_ceiling_changelist")).status_code == 200


# --- the day of one person -------------------------------------------------------------------------------------------


def limit_day(organization, amount: str | None = "200.00", count: int | None = None) -> None:
    minor = Money.parse(amount, "GBP").minor if amount else None
    RunningLimit.objects.create(
        organization=organization, scope="reviewer", currency="GBP", amount_minor=minor, count=count
    )


def another(organization, amount: str = "141.48", currency: str = "GBP") -> Review:
    return make_review(make_case(organization, amount=amount, currency=currency))


def test_one_person_approves_no_more_than_the_day_allows(review, cast, organization):
    limit_day(organization)
    second = another(organization)
    vote(review, cast.ada)

    with pytest.raises(DayUsedUp, match=r"You have approved £141\.48 today; with £141\.48 it would pass £200\.00"):
        vote(second, cast.ada)

    assert voters.eligible(second, voters.stage_of(second)) == [cast.ben, cast.maya]
    vote(second, cast.ada, amount=Money(58_52, "GBP"))  # what is left
    vote(another(organization), cast.ada, Verdict.REJECT)


def test_the_number_of_approvals_and_another_currency_are_limited_as_well(review, cast, organization):
    limit_day(organization, None, 1)
    vote(review, cast.ada)

    with pytest.raises(DayUsedUp, match="You have approved 1 cases today"):
        vote(another(organization), cast.ada)
    with pytest.raises(DayUsedUp, match="no limit in EUR"):
        vote(another(organization, currency="EUR"), cast.ben)


def test_what_did_not_come_to_an_approval_is_not_counted(review, cast, organization):
    limit_day(organization)
    void, taken_back, yesterday = (another(organization) for _ in range(3))
    vote(void, cast.ada)
    at(void, state="void", closed_at=clock.now(), settles_at=None)
    vote(taken_back, cast.ada)
    services.take_back(taken_back.pk, voter=cast.ada)
    vote(yesterday, cast.ada)
    Vote.objects.filter(review=yesterday).update(cast_at=clock.now() - timedelta(days=1))

    assert vote(review, cast.ada).state == ReviewState.APPROVING


def test_the_page_says_that_the_day_is_used_up(review, cast, organization):
    limit_day(organization)
    vote(another(organization), cast.ada)

    page = signed_in(cast.ada).get(url("case", review)).content.decode()

    assert "the most one person approves in a day. Somebody else has to approve it." in page
    assert "Approve less" in page


@pytest.mark.django_db(transaction=True)
def test_two_approvals_of_one_person_at_once_do_not_both_fit():
    organization, cast = make_desk()
    limit_day(organization)
    reviews = [another(organization) for _ in range(2)]

    results = at_once(*(lambda review=review: vote(review, cast.ada) for review in reviews))

    assert sorted(isinstance(result, DayUsedUp) for result in results) == [False, True], results
    assert Vote.objects.count() == 1
