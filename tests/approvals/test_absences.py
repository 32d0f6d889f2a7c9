"""Time off: who is given nothing, who votes in whose place, and what that never allows."""

from datetime import timedelta

import pytest
import time_machine
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import Team, User
from accounts.roles import Role
from approvals import absences, opening, pulling, services, voters
from approvals.errors import AbsenceRefused, NotAVoter, SelfApproval, VotedBefore
from approvals.models import Absence, ReasonCode, Review, TierSettings, Vote
from approvals.services import Rationale
from approvals.states import ReviewState, Verdict
from approvals.timers import settle
from auditlog.models import Entry
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from tests.approvals.desk import signed_in, url
from tests.factories import make_absence, make_case, make_desk, make_member, make_review
from workflows.models import Authorization, Case, Correction
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


@pytest.fixture
def review(organization, cast):
    """£141.48, decided by Ada or Maya; Ben is not in the team."""
    Team.objects.get(organization=organization).members.remove(cast.ben)
    return make_review(make_case(organization))


@pytest.fixture
def absence(organization, cast):
    """Ada is away, Ben stands in for her up to £200."""
    return make_absence(cast.ada, organization, delegate=cast.ben, ceiling_minor=200_00, ceiling_currency="GBP")


def vote(review: Review, voter: User) -> Review:
    code = ReasonCode.objects.get(code="goods-returned")
    return services.decide(
        review.pk, voter=voter, verdict=Verdict.APPROVE, rationale=Rationale(code), seen=review.content_hash
    )


def settled(review: Review) -> Review:
    Review.objects.filter(pk=review.pk).update(settles_at=clock.now() - timedelta(seconds=1))
    assert settle(review.pk) == 1
    review.refresh_from_db()
    return review


def member(user: User):
    return user.memberships.get()


# --- standing in -----------------------------------------------------------------------------------------------------


def test_whoever_stands_in_votes_in_the_stage_of_the_absent_and_it_says_so(review, cast, absence):
    with pytest.raises(NotAVoter):
        vote(review, make_member(review.organization, "olga", Role.OPERATOR))

    vote(review, cast.ben)

    cast_vote = Vote.objects.get()
    assert (cast_vote.voter, cast_vote.absence) == (cast.ben, absence)
    entry = Entry.objects.get(verb="approvals.review.voted_approve")
    assert entry.after["for"] == "Ada Okafor"
    assert entry.reason.endswith(f"For Ada Okafor, away until {absence.ends_on}.")
    assert settled(review).state == ReviewState.APPROVED
    assert Authorization.objects.count() == 1


@pytest.mark.parametrize("days", [(-8, -1), (1, 8)])
def test_before_and_after_the_days_off_nobody_stands_in(review, cast, organization, days):
    make_absence(cast.ada, organization, days=days, delegate=cast.ben)

    with pytest.raises(NotAVoter):
        vote(review, cast.ben)


def test_the_days_are_those_where_the_organization_works(review, cast, organization):
    organization.time_zone = "Asia/Kathmandu"
    organization.save()
    make_absence(cast.ada, organization, days=(0, 0), delegate=cast.ben)

    with time_machine.travel(clock.now().replace(hour=18, minute=14, second=0), tick=False):
        assert absences.away_today(organization.pk).keys() == {cast.ada.pk}
    with time_machine.travel(clock.now().replace(hour=18, minute=16, second=0), tick=False):
        assert not absences.away_today(organization.pk)


def test_a_delegate_never_votes_on_what_the_absent_asked_for_or_edited(review, cast, absence, organization):
    asked = make_review(make_case(organization, requested_by_user=cast.ada))
    Correction.objects.create(case=review.case, user=cast.ada, before={}, after={}, reason="Wrong payment.")

    for each in (review, asked):
        with pytest.raises(NotAVoter, match="Ada Okafor, for whom you stand in, asked for this or changed its content"):
            vote(each, cast.ben)
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ben)
    with pytest.raises(SelfApproval):
        vote(review, cast.ben)


@pytest.mark.parametrize("asked", [("200.01", "GBP"), ("10.00", "EUR"), (None, "")])
@pytest.mark.usefixtures("review", "absence")
def test_above_the_ceiling_a_delegate_does_not_vote(cast, organization, asked):
    above = make_review(make_case(organization, amount=asked[0], currency=asked[1]))

    with pytest.raises(NotAVoter, match=r"You stand in for Ada Okafor up to £200\.00\."):
        vote(above, cast.ben)


def test_nobody_votes_twice_as_two_people(review, cast, absence, organization):
    full = TierSettings.objects.get(organization=organization, tier=Tier.FULL_REVIEW)
    full.stages.update(votes=2)
    team = Team.objects.get(organization=organization)

    vote(review, cast.ben)

    with pytest.raises(VotedBefore):  # in whose place Ben has voted
        vote(review, cast.ada)
    team.members.add(cast.ben)
    with pytest.raises(VotedBefore):
        vote(review, cast.ben)
    team.members.remove(cast.maya)
    make_absence(cast.maya, organization, delegate=cast.ben)
    with pytest.raises(VotedBefore):
        vote(review, cast.ben)
    with pytest.raises(IntegrityError, match="approvals_vote_one_per_seat"), transaction.atomic():
        Vote.objects.create(
            review=review,
            stage=0,
            voter=cast.ada,
            person_key=voters.person_key(cast.ada),
            seat_key=voters.person_key(cast.ada),
            verdict=Verdict.APPROVE,
            reason_code=ReasonCode.objects.get(code="goods-returned"),
        )


def test_once_the_absent_has_voted_nobody_votes_in_their_place(review, cast, absence, organization):
    TierSettings.objects.get(organization=organization, tier=Tier.FULL_REVIEW).stages.update(votes=2)
    vote(review, cast.ada)

    with pytest.raises(NotAVoter, match="has voted on this already"):
        vote(review, cast.ben)


@pytest.mark.parametrize("lost", ["called off", "delegate's role", "absent's role", "absent left the team"])
def test_a_right_lost_before_the_vote_takes_effect_asks_again(review, cast, absence, lost):
    vote(review, cast.ben)

    match lost:
        case "called off":
            absences.call_off(absence.pk, by=member(cast.ada))
        case "delegate's role":
            cast.ben.memberships.update(role=Role.VIEWER)
        case "absent's role":
            cast.ada.memberships.update(ended_at=clock.now())
        case "absent left the team":
            Team.objects.get().members.remove(cast.ada)

    assert settled(review).state == ReviewState.VOID
    assert not Authorization.objects.exists()


# --- who is asked ----------------------------------------------------------------------------------------------------


def test_whoever_is_away_is_given_nothing_and_their_delegate_is(review, cast, absence, organization):
    stage = voters.stage_of(review)
    assert voters.eligible(review, stage) == [cast.maya, cast.ben]

    make_absence(cast.maya, organization)
    opening.assign(review)
    assert review.assignee == cast.ben

    absences.call_off(absence.pk, by=member(cast.ada))
    make_absence(cast.ada, organization)
    opening.assign(review)
    assert (review.assignee, review.blocked_reason) == (
        None,
        "Everybody in Refunds who may vote on this case is away.",
    )


def test_take_next_gives_a_delegate_what_the_absent_would_decide(review, cast, absence):
    taken = pulling.take_next(member(cast.ben))

    assert taken is not None
    assert taken.review == review


# --- agreeing --------------------------------------------------------------------------------------------------------


def agree(cast, *, by=None, user=None, days=(0, 7), **more):
    begins_on, ends_on = (clock.now().date() + timedelta(days=day) for day in days)
    return absences.take_time_off(
        user or cast.ada, by=member(by or cast.ada), begins_on=begins_on, ends_on=ends_on, **more
    )


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"days": (7, 0)}, "The last day is before the first."),
        ({"days": (-7, -3)}, "These days are over."),
        ({"days": (5, 40)}, "call it off first"),
        ({"delegate": "ada"}, "Choose a colleague who may decide."),
        ({"delegate": "ines"}, "Choose a colleague who may decide."),
        ({"ceiling": Money(1, "GBP")}, "choose who"),
        ({"user": "maya"}, "Only managers enter the time off of others."),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(cast, organization, how, words):
    make_absence(cast.ada, organization, days=(30, 37))
    people = {name: getattr(cast, who) for name, who in how.items() if isinstance(who, str)}

    with pytest.raises(AbsenceRefused, match=words):
        agree(cast, **{**how, **people})


def test_a_manager_enters_and_calls_off_the_time_off_of_others(cast):
    absence = agree(cast, by=cast.maya, delegate=cast.ben, ceiling=Money(50_00, "GBP"))

    with pytest.raises(AbsenceRefused):
        absences.call_off(absence.pk, by=member(cast.ben))
    absences.call_off(absence.pk, by=member(cast.maya))
    absences.call_off(absence.pk, by=member(cast.maya))

    told = list(Entry.objects.filter(subject_kind="absence").order_by("pk"))
    assert [entry.verb for entry in told] == ["approvals.absence.agreed", "approvals.absence.called_off"]
    assert told[0].after["ceiling"] == "£50.00"
    assert told[0].reason.endswith("Ben Marsh decides for them up to £50.00.")


def test_what_was_agreed_does_not_change(cast, organization):
    absence = make_absence(cast.ada, organization)

    for change in ({"delegate": cast.ben}, {"ends_on": absence.ends_on + timedelta(days=1)}):
        with pytest.raises(ProgrammingError), transaction.atomic():
            Absence.objects.filter(pk=absence.pk).update(**change)
    with pytest.raises(ProgrammingError), transaction.atomic():
        absence.delete()


# --- pages -----------------------------------------------------------------------------------------------------------


def page_of(response) -> str:
    return response.content.decode()


def test_a_person_enters_their_time_off_and_calls_it_off(cast):
    ada, today = signed_in(cast.ada), clock.now().date()
    sent = {
        "begins_on": today.isoformat(),
        "ends_on": (today + timedelta(days=3)).isoformat(),
        "delegate": cast.ben.pk,
        "ceiling": "£250",
    }

    assert ada.post("/time-off/agree/", sent).status_code == 302
    assert ada.post("/time-off/agree/", sent).status_code == 409
    assert ada.post("/time-off/agree/", {}).status_code == 422

    absence = Absence.objects.get()
    assert (absence.delegate, absence.ceiling) == (cast.ben, Money(250_00, "GBP"))
    page = page_of(ada.get("/time-off/"))
    assert "up to £250.00" in page
    assert 'name="user"' not in page  # she enters her own
    assert "You stand in for Ada Okafor" in page_of(signed_in(cast.ben).get("/time-off/"))
    assert "Call off the" not in page_of(signed_in(cast.ben).get("/time-off/"))
    signed_in(cast.ben).post(f"/time-off/{absence.pk}/call-off/")
    assert Absence.objects.standing().exists()
    ada.post(f"/time-off/{absence.pk}/call-off/")
    assert "Nobody is away" in page_of(ada.get("/time-off/"))


def test_the_case_says_for_whom_one_decides_and_until_when(review, cast, absence):
    page = page_of(signed_in(cast.ben).get(url("case", review)))

    until = f"{absence.ends_on.day} {absence.ends_on:%b}"
    assert f"For Ada Okafor, until {until}, up to £200.00." in page
    assert 'value="approve"' in page
    vote(review, cast.ben)
    assert "for Ada Okafor" in page_of(signed_in(cast.maya).get(url("case", review)))


def test_the_page_asks_the_database_as_often_for_many_as_for_one(cast, organization):
    ada, counts = signed_in(cast.ada), []
    for days in range(3):
        for user in (cast.ben, cast.maya):
            make_absence(user, organization, days=(days * 3, days * 3 + 1), delegate=cast.ada)
        ada.get("/time-off/")
        with CaptureQueriesContext(connection) as captured:
            ada.get("/time-off/")
        counts.append(len(captured))

    assert len(set(counts)) == 1
    assert counts[0] <= 16
