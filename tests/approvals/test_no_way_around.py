"""Ways around the consent that a refund needs: one person as two, rights lost meanwhile, broken rules, forged rows."""

from datetime import timedelta

import pytest

from accounts.models import Person, User
from accounts.roles import Role
from approvals import timers
from approvals.errors import NotAVoter, SelfApproval, VotedBefore
from approvals.models import Review
from approvals.services import object_to, reassign
from approvals.states import ReviewState
from approvals.voters import eligible, names, stage_of
from integrations.models import Payment
from integrations.tasks import send_due
from opsdesk.lib import clock
from tests.approvals.gone_around import APPROVE, nothing_moved, waiting
from tests.factories import (
    make_case,
    make_member,
    make_review,
    make_run,
)
from tests.plugins.line import CUSTOMER, Line, open_review_of, pass_time, vote
from tests.races import round_by_round
from workflows.engine.running import advance, claim
from workflows.models import Authorization, Case, Run
from workflows.states import CaseState, RunState, Tier

pytestmark = pytest.mark.django_db


def loose_account(line: Line, name: str) -> User:
    """A member of the team of whom nobody knows yet whose account it is."""
    user = make_member(line.organization, name, Role.OPERATOR, teams=(line.organization.teams.get(slug="refunds"),))
    User.objects.filter(pk=user.pk).update(person=None)
    user.refresh_from_db()
    return user


def found_to_be(user: User, other: User) -> None:
    """An admin learns that two accounts are one human being."""
    person = other.person or Person.objects.create(name=str(other))
    User.objects.filter(pk__in=[user.pk, other.pk]).update(person=person)


# --- one person as two -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", ["before it took effect", "before the money was held"])
@pytest.mark.parametrize("disguise", ["requester", "beneficiary", "corrector"])
def test_a_second_account_that_is_found_out_after_its_vote_carries_nothing(line: Line, disguise: str, found: str):
    review = waiting(line, customer="ada" if disguise == "beneficiary" else CUSTOMER)
    other = loose_account(line, "other")
    if disguise == "requester":
        Case.objects.filter(pk=review.case_id).update(requested_by_user=line.cast.ada)
    elif disguise == "corrector":
        review.case.corrections.create(user=line.cast.ada, before={}, after={}, reason="x")
    vote(review, other)
    pass_time(timedelta(seconds=11))
    if found == "before the money was held":
        assert timers.settle(review.pk) == 1
        assert Authorization.objects.count() == 1

    found_to_be(other, line.cast.ada)
    line.work()

    assert nothing_moved(line)
    assert not Case.objects.filter(state=CaseState.DONE).exists()


def test_two_voters_who_turn_out_to_be_one_are_too_few(line: Line):
    review = waiting(line)
    review.settings.stages.update(votes=2)
    one, two = (loose_account(line, name) for name in ("one", "two"))
    vote(review, one)
    vote(review, two)
    review.refresh_from_db()
    assert review.state == ReviewState.APPROVING

    found_to_be(one, two)
    line.let_pass(seconds=11)

    review.refresh_from_db()
    assert review.state == ReviewState.VOID
    assert nothing_moved(line)
    again = open_review_of(review.case)
    vote(again, line.cast.ada)
    vote(again, line.cast.ben)
    line.let_pass(seconds=11)
    assert len(line.refunds()) == 1


@pytest.mark.parametrize("found", ["before it took effect", "before the money was held"])
def test_who_is_taken_out_of_the_team_carries_nothing(line: Line, found: str):
    review = waiting(line)
    vote(review, line.cast.ada)
    pass_time(timedelta(seconds=11))
    if found == "before the money was held":
        assert timers.settle(review.pk) == 1

    line.organization.teams.get(slug="refunds").members.remove(line.cast.ada)
    line.work()

    assert nothing_moved(line)
    assert not Case.objects.filter(state=CaseState.DONE).exists()


def test_nobody_makes_themselves_the_one_who_decides(line: Line):
    """Requester, corrector, admin, the inactive: none is chosen, can be given the case, or votes once it is theirs."""
    review, cast = waiting(line), line.cast
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ada)
    review.case.corrections.create(user=cast.ben, before={}, after={}, reason="x")
    User.objects.filter(pk=cast.maya.pk).update(is_active=False)
    line.organization.teams.get(slug="refunds").members.add(cast.tomasz, cast.ines)
    review = Review.objects.select_related("case").get(pk=review.pk)
    barred = {cast.ada: SelfApproval, cast.ben: SelfApproval, cast.maya: NotAVoter, cast.tomasz: NotAVoter}

    assert eligible(review, stage_of(review)) == []
    for user, refusal in barred.items():
        with pytest.raises(refusal):
            reassign(review.pk, to=user, by=cast.tomasz)
        Review.objects.filter(pk=review.pk).update(assignee=user)
        with pytest.raises(refusal):
            vote(review, user)

    line.work()
    assert nothing_moved(line)
    assert not review.votes.exists()


def test_a_fast_track_case_of_ones_own_cannot_be_voted_out_early(line: Line):
    case = line.ask("60.00")
    line.work()
    Case.objects.filter(pk=case.pk).update(requested_by_user=line.cast.ada)

    with pytest.raises(SelfApproval):
        vote(open_review_of(case), line.cast.ada)

    line.work()
    assert nothing_moved(line)


def test_whoever_voted_for_leaving_votes_anew_once_people_are_asked(line: Line):
    """The vote to let it leave was about something else: it neither counts nor bars its voter."""
    review = make_review(make_case(line.organization, amount="60.00"), tier=Tier.FAST_TRACK)
    review.settings.stages.update(votes=2)
    vote(review, line.cast.ada)
    with pytest.raises(VotedBefore):
        vote(review, line.cast.ada)

    object_to(review.pk, by=line.cast.maya, text="The customer called.")

    review.refresh_from_db()
    assert not review.votes.filter(withdrawn_at=None).exists()
    vote(review, line.cast.ada)
    review.refresh_from_db()
    assert review.state == ReviewState.APPROVING


def test_an_account_without_a_person_is_one_of_its_own(line: Line):
    review = waiting(line)
    review.settings.stages.update(votes=2)
    one, two = (loose_account(line, name) for name in ("one", "two"))

    vote(review, one)
    vote(review, two)

    assert set(review.votes.values_list("person_key", flat=True)) == {f"account-{one.pk}", f"account-{two.pk}"}


def test_people_are_named_as_in_a_sentence(line: Line):
    ada, ben, maya = line.cast.ada, line.cast.ben, line.cast.maya

    assert names([]) == "nobody"
    assert names([ada]) == "Ada Okafor"
    assert names([ada, ben]) == "Ada Okafor or Ben Marsh"
    assert names([ada, ben, maya], joint="and") == "Ada Okafor, Ben Marsh and Maya Nowak"


# --- rights that are lost while it is carried out --------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [25, pytest.param(100, marks=pytest.mark.long)])
def test_rights_lost_while_the_vote_takes_effect_move_no_money(committed_line: Line, rounds: int):
    """The vote takes effect and its voter is struck off at the same moment; whichever was first, nothing is sent."""
    line = committed_line
    reviews = [approving(line) for _ in range(rounds)]

    def strike_off(number: int) -> None:
        reviews[number].votes.get().voter.memberships.update(ended_at=clock.now())

    outcomes = round_by_round([lambda number: timers.settle(reviews[number].pk), strike_off], rounds)
    while runs := claim():
        advance(runs)
    send_due()

    assert outcomes == [[1, None]] * rounds
    assert nothing_moved(line)
    ends = [(Review.objects.get(pk=review.pk).state, Run.objects.get(pk=review.run_id).state) for review in reviews]
    # Struck off first: another person is asked. Took effect first: the step that acts refuses.
    possible = {(ReviewState.VOID, RunState.WAITING), (ReviewState.APPROVED, RunState.FAILED)}
    assert set(ends) <= possible
    assert Authorization.objects.count() == sum(state == ReviewState.APPROVED for state, _ in ends)


def approving(line: Line) -> Review:
    """A case approved by a person of its own, a moment before it takes effect; its payment has the money."""
    team = line.organization.teams.get(slug="refunds")
    number = User.objects.count()
    voter = make_member(line.organization, f"voter{number}", Role.OPERATOR, teams=(team,))
    case = make_case(line.organization, target=f"pi_{number}")
    Payment.objects.create(
        organization=line.organization, connection=line.connection, reference=case.target, currency="GBP",
        captured_minor=50_000,
    )  # fmt: skip
    make_run(case, state=RunState.WAITING, position=APPROVE)
    review = make_review(case)
    vote(review, voter)
    Review.objects.filter(pk=review.pk).update(settles_at=clock.now())
    return review
