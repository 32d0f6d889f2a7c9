"""Ways around the consent that a refund needs: one person as two, rights lost meanwhile, broken rules, forged rows."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pgtrigger
import pytest
from django.db import DatabaseError, IntegrityError, transaction

from accounts.models import Person, User
from accounts.roles import Role
from approvals import timers
from approvals.errors import NotAVoter, SelfApproval, VotedBefore
from approvals.grants import why_void
from approvals.models import Policy, Review, Stage, Threshold, TierSettings
from approvals.services import object_to, reassign
from approvals.states import ReviewState
from approvals.tasks import settle_due
from approvals.voters import eligible, names, stage_of
from integrations.models import Action, Payment
from integrations.states import ActionState
from integrations.tasks import send_due
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from tests.factories import (
    make_action,
    make_authorization,
    make_case,
    make_decision,
    make_member,
    make_review,
    make_run,
)
from tests.plugins.line import CUSTOMER, Line, open_review_of, pass_time, vote
from tests.races import round_by_round
from workflows.engine.running import advance, claim
from workflows.models import Authorization, Case, Decision, Rule, RuleSet, Run
from workflows.states import CaseState, RunState, Tier
from workflows.tasks import tick

pytestmark = pytest.mark.django_db
APPROVE, ACT = 2, 3  # positions of the steps that ask for consent and that act


def waiting(line: Line, **said: Any) -> Review:
    """A case that waits for one person of the team."""
    case = line.ask("141.48", **said)
    tick()
    return open_review_of(case)


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


def nothing_moved(line: Line) -> bool:
    """No intent, nothing held, and nothing at the gateway."""
    held = Payment.objects.exclude(reserved_minor=0).exists()
    return not Action.objects.exists() and not held and line.refunds() == []


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


# --- rules that are missing, broken, or name what is gone ------------------------------------------------------------

BROKEN: dict[str, Any] = {
    "a fact that is gone": [{"fact": "weather", "operator": "is_true"}],
    "an operator that is gone": [{"fact": "amount", "operator": "matches", "value": "1"}],
    "another currency": [{"fact": "amount", "operator": "above", "value": "1.00 EUR"}],
    "no currency": [{"fact": "amount", "operator": "above", "value": "1.00"}],
    "a value that is none": [{"fact": "order.share", "operator": "above", "value": {"a": 1}}],
    "NaN": [{"fact": "order.share", "operator": "above", "value": "NaN"}],
    "no conditions": [],
    "an empty condition": [{}],
    "words": "amount > 5",
    "a list of words": ["amount > 5"],
    "nothing": None,
    "a number": 7,
    "an object": {"fact": "amount", "operator": "is_known"},
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_rule_that_broke_in_the_database_goes_to_people(line: Line, what: str):
    """No rule in force can be written so; these were changed behind the desk, or a release took a fact away."""
    rule = Rule.objects.filter(rule_set__state="published").first()
    assert rule is not None
    with pgtrigger.ignore("workflows.Rule:frozen_with_its_set"), transaction.atomic():
        try:
            with transaction.atomic():
                Rule.objects.filter(pk=rule.pk).update(conditions=BROKEN[what], tier=Tier.FAST_TRACK)
        except IntegrityError:
            assert BROKEN[what] is None
            return
    case = line.ask("0.01")

    line.work()

    assert nothing_moved(line)
    case.refresh_from_db()
    tiers = set(Decision.objects.values_list("tier", flat=True))
    # Sent to people, or stopped for one who repairs: never through.
    assert (tiers, case.state) in [({Tier.FULL_REVIEW}, CaseState.OPEN), (set(), CaseState.FAILED)]


def test_what_the_tier_needs_and_is_gone_stops_the_case(line: Line):
    Stage.objects.all().delete()
    TierSettings.objects.all().delete()
    cases = [line.ask("60.00"), line.ask("141.48")]

    line.work()

    assert nothing_moved(line)
    assert {Case.objects.get(pk=case.pk).state for case in cases} == {CaseState.FAILED}


def test_a_team_nobody_is_in_any_more_blocks_and_passes_nothing(line: Line):
    line.organization.teams.get(slug="refunds").members.clear()

    fast, full = line.ask("60.00"), line.ask("141.48")
    line.work()
    line.post()
    line.let_pass(days=3)

    assert nothing_moved(line)
    for case in (fast, full):
        review = open_review_of(case)
        assert (review.assignee, review.tier) == (None, Tier.FULL_REVIEW)
        assert review.blocked_reason


def test_two_editions_in_force_at_once_cannot_be(line: Line):
    for model in (RuleSet, Policy):
        row = model.objects.get(state="published")
        row.pk, row.number = None, 99

        with pytest.raises(IntegrityError, match="one_published"), transaction.atomic():
            row.save(force_insert=True)


def test_two_bands_at_one_amount_cannot_be(line: Line):
    band = Threshold.objects.get(above_minor=5_000)
    band.pk, band.tier = None, Tier.INSTANT

    with (
        pgtrigger.ignore("approvals.Threshold:frozen_with_its_policy"),
        pytest.raises(IntegrityError, match="approvals_threshold_once"),
        transaction.atomic(),
    ):
        band.save(force_insert=True)


# --- steps skipped and rows forged -----------------------------------------------------------------------------------


def test_opening_every_door_out_of_turn_moves_nothing(line: Line):
    """The tasks take no arguments, so all one can do is to ring: nothing that waits for people goes on."""
    review = waiting(line)

    for _ in range(3):
        for door in (send_due, settle_due, tick, partial(timers.settle, review.pk), partial(timers.leave, review.pk)):
            door()
        pass_time(timedelta(days=30))

    review.refresh_from_db()
    assert review.state == ReviewState.OPEN
    assert nothing_moved(line)


def put_at_the_last_step(review: Review) -> None:
    Run.objects.filter(pk=review.run_id).update(
        state=RunState.READY, position=ACT, wake_at=clock.now(), waits_for="", reason=""
    )


def call_the_review_approved(review: Review) -> None:
    Review.objects.filter(pk=review.pk).update(state=ReviewState.APPROVED, closed_at=clock.now())
    Run.objects.filter(pk=review.run_id).update(state=RunState.READY, wake_at=clock.now(), waits_for="", reason="")


def have_rules_authorize(review: Review) -> None:
    forge(review, "rule")
    put_at_the_last_step(review)


def have_a_window_authorize(review: Review) -> None:
    forge(review, "window")
    put_at_the_last_step(review)


def have_nobody_authorize(review: Review) -> None:
    forge(review, "people")
    put_at_the_last_step(review)


def have_votes_authorize_that_never_took_effect(review: Review) -> None:
    voter = User.objects.get(username="ada")
    vote(review, voter)
    forge(review, "people")
    put_at_the_last_step(review)


def forge(review: Review, source: str) -> Authorization:
    """An authorization over exactly what was decided, which nobody granted."""
    return make_authorization(review.run, source=source, granted_by="a forger")


FORGERIES: list[Callable[[Review], None]] = [
    put_at_the_last_step,
    call_the_review_approved,
    have_rules_authorize,
    have_a_window_authorize,
    have_nobody_authorize,
    have_votes_authorize_that_never_took_effect,
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.__name__)
def test_a_forged_state_or_grant_moves_no_money(line: Line, forgery: Callable[[Review], None]):
    review = waiting(line)

    forgery(review)
    line.work()

    assert nothing_moved(line)
    assert Run.objects.get(pk=review.run_id).state == RunState.FAILED
    assert Case.objects.get(pk=review.case_id).state == CaseState.FAILED


@pytest.mark.parametrize(
    ("source", "tier", "says"),
    [
        ("rule", Tier.INSTANT, ""),
        ("rule", Tier.FAST_TRACK, "Rules alone cannot authorize this."),
        ("rule", Tier.FULL_REVIEW, "Rules alone cannot authorize this."),
        ("window", Tier.INSTANT, "No objection window stands behind this authorization."),
        ("window", Tier.FULL_REVIEW, "No objection window stands behind this authorization."),
        ("people", Tier.INSTANT, "Nobody's vote stands behind this authorization."),
        ("people", Tier.FULL_REVIEW, "Nobody's vote stands behind this authorization."),
    ],
)
def test_a_grant_has_behind_it_what_its_tier_asks_for(line: Line, source: str, tier: Tier, says: str):
    run = make_run(make_case(line.organization))
    make_decision(run, tier=tier)

    assert why_void(make_authorization(run, source=source)) == says


INTENT = {
    "amount_minor": 9_999_999,
    "currency": "EUR",
    "operation": "payout",
    "key": "00000000-0000-4000-8000-000000000000",
}


@pytest.mark.parametrize("column", INTENT)
def test_an_intent_cannot_be_rewritten(line: Line, column: str):
    action = make_action(make_run(make_case(line.organization)))

    with pytest.raises(DatabaseError, match="Cannot update"), transaction.atomic():
        Action.objects.filter(pk=action.pk).update(**{column: INTENT[column]})
    with pytest.raises(DatabaseError, match="Cannot delete"), transaction.atomic():
        Action.objects.filter(pk=action.pk).delete()

    assert Action.objects.get().state == ActionState.RESERVED


def test_what_was_granted_cannot_be_rewritten_or_used_twice(line: Line):
    action = make_action(make_run(make_case(line.organization)))
    grant = action.authorization

    for change in ({"amount_minor": 1}, {"target": "pi_other"}, {"content_hash": "0" * 64}):
        with pytest.raises(DatabaseError), transaction.atomic():
            Authorization.objects.filter(pk=grant.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_action(action.run, authorization=grant, payment=action.payment)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_authorization(action.run)


def test_refusals_say_why(line: Line):
    """Whatever refuses a person does so in a sentence of its own."""
    for refusal in (SelfApproval, NotAVoter, VotedBefore):
        assert issubclass(refusal, DomainError)
        assert len(str(refusal())) > 20
