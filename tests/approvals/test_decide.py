"""Casting, taking back and stopping votes: who may, on what, and what follows."""

from datetime import timedelta

import pytest

from accounts.models import Organization, Person, User
from accounts.roles import Role
from approvals.errors import (
    AlreadyDecided,
    ContentChanged,
    NotAVoter,
    NothingToRefund,
    RationaleMissing,
    SelfApproval,
    TooLate,
    VotedBefore,
)
from approvals.models import ReasonCode, Review, Stage, TierSettings, Vote
from approvals.services import Rationale, decide, escalate, object_to, reassign, take_back, void_open
from approvals.states import ReviewState, Verdict
from approvals.timers import leave, settle
from auditlog.models import Entry
from opsdesk.lib import clock
from tests.factories import Cast, make_case, make_desk, make_member, make_review, make_run, make_team
from tests.plugins.line import pass_time, vote
from workflows.models import Authorization, Case, Correction, Run
from workflows.states import RunState, Tier

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_desk()[1]


@pytest.fixture
def review(cast: Cast) -> Review:
    """141.48 wait for one vote of the refunds team: Ada, Ben, or Maya."""
    return make_review(make_case(Organization.objects.get()), assignee=cast.ada)


def stages(review: Review, *votes: int) -> None:
    """Have the review's tier ask so many votes in each stage: refunds first, then a team of managers."""
    review.settings.stages.all().delete()
    team = review.organization.teams.get(slug="refunds")
    managers = make_team(review.organization, "managers") if len(votes) > 1 else team
    managers.members.add(*User.objects.filter(username__in=["maya", "ben"]))
    for position, count in enumerate(votes):
        Stage.objects.create(tier=review.settings, team=managers if position else team, votes=count, position=position)


def now(review: Review) -> tuple[str, int]:
    review.refresh_from_db()
    return review.state, review.stage


def untouched(review: Review) -> bool:
    return now(review) == (ReviewState.OPEN, 0) and not review.votes.exists() and not told()


def told() -> list[str]:
    """What the audit log says about reviews."""
    return list(Entry.objects.filter(subject_kind="review").values_list("verb", flat=True))


def code(review: Review, verdict: Verdict = Verdict.APPROVE, *, text: bool = False) -> ReasonCode:
    return ReasonCode.objects.get(organization=review.organization, verdict=verdict, text_needed=text)


# --- one vote --------------------------------------------------------------------------------------------------------


def test_the_last_vote_decides_and_takes_effect_after_the_undo_window(review: Review, cast: Cast):
    vote(review, cast.ada)

    assert now(review) == (ReviewState.APPROVING, 0)
    assert review.decided_by == cast.ada
    assert timedelta(seconds=8) < review.settles_at - clock.now() <= timedelta(seconds=10)
    assert not Authorization.objects.exists()
    assert settle(review.pk) == 0  # not yet
    pass_time(timedelta(seconds=11))
    assert settle(review.pk) == 1

    grant = Authorization.objects.get()
    assert (grant.source, grant.amount_minor, grant.currency, grant.target, grant.granted_by) == (
        "people", 14148, "GBP", review.case.target, "Ada Okafor",
    )  # fmt: skip
    assert now(review)[0] == ReviewState.APPROVED
    assert Run.objects.get().state == RunState.READY


def test_one_rejection_decides(review: Review, cast: Cast):
    stages(review, 2)

    vote(review, cast.ada, Verdict.REJECT)
    pass_time(timedelta(seconds=11))
    settle(review.pk)

    assert now(review)[0] == ReviewState.REJECTED
    assert not Authorization.objects.exists()
    assert Run.objects.get().state == RunState.READY


def test_a_vote_is_recorded_with_who_what_and_why(review: Review, cast: Cast):
    decide(
        review.pk,
        voter=cast.ada,
        verdict=Verdict.APPROVE,
        rationale=Rationale(code(review), "Parcel seen."),
        seen=review.content_hash,
    )

    cast_vote = Vote.objects.get()
    assert (cast_vote.voter, cast_vote.verdict, cast_vote.text, cast_vote.content_hash) == (
        cast.ada, "approve", "Parcel seen.", review.content_hash,
    )  # fmt: skip
    entry = Entry.objects.get(verb="approvals.review.voted_approve")
    assert (entry.user, entry.case_id, entry.reason) == (cast.ada, review.case_id, "Goods came back. Parcel seen.")
    assert entry.after["hash"] == review.content_hash


def test_what_is_decided_cannot_be_decided_again(review: Review, cast: Cast):
    vote(review, cast.ada)

    with pytest.raises(AlreadyDecided, match="Approved, can be taken back by Ada Okafor"):
        vote(review, cast.ben, Verdict.REJECT)

    assert Vote.objects.count() == 1


def test_a_click_on_another_content_than_there_is_counts_nothing(review: Review, cast: Cast):
    with pytest.raises(ContentChanged):
        decide(review.pk, voter=cast.ada, verdict=Verdict.APPROVE, rationale=Rationale(code(review)), seen="0" * 64)

    assert untouched(review)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount_minor", 1), ("currency", "EUR"), ("target", "pi_1"), ("party", "1"), ("key", "C1"), ("data", {"a": 1}),
    ],
)  # fmt: skip
def test_a_case_that_changed_since_it_was_opened_for_review_is_not_voted_on(review: Review, cast: Cast, field, value):
    Case.objects.filter(pk=review.case_id).update(**{field: value})

    with pytest.raises(ContentChanged):
        vote(review, cast.ada)

    assert untouched(review)


def test_a_case_without_a_payment_can_be_rejected_only(review: Review, cast: Cast):
    case = make_case(review.organization, target="", data={})
    bare = make_review(case)

    with pytest.raises(NothingToRefund):
        vote(bare, cast.ada)
    vote(bare, cast.ada, Verdict.REJECT)

    assert now(bare)[0] == ReviewState.REJECTING


# --- why -------------------------------------------------------------------------------------------------------------


def refused_for_its_reason(
    review: Review, voter: User, rationale: Rationale, verdict: Verdict = Verdict.APPROVE
) -> bool:
    with pytest.raises(RationaleMissing):
        decide(review.pk, voter=voter, verdict=verdict, rationale=rationale, seen=review.content_hash)
    return untouched(review)


@pytest.mark.parametrize("text", ["", "Too short", "   blanks       "])
def test_a_reason_that_asks_for_a_sentence_gets_one(review: Review, cast: Cast, text: str):
    assert refused_for_its_reason(review, cast.ada, Rationale(code(review, text=True), text))


def test_a_tier_that_asks_for_a_sentence_gets_one(review: Review, cast: Cast):
    TierSettings.objects.filter(pk=review.settings_id).update(text_needed=True, text_minimum=20)

    assert refused_for_its_reason(review, cast.ada, Rationale(code(review), "Nineteen letters it"))


def test_a_reason_for_the_other_verdict_is_none(review: Review, cast: Cast):
    assert refused_for_its_reason(review, cast.ada, Rationale(code(review, Verdict.REJECT)))
    assert refused_for_its_reason(review, cast.ada, Rationale(code(review)), Verdict.REJECT)


def test_a_reason_that_is_switched_off_or_of_somebody_else_is_none(review: Review, cast: Cast):
    other, _ = make_desk("other", suffix="-other")
    foreign = ReasonCode.objects.get(organization=other, code="goods-returned")
    ReasonCode.objects.filter(pk=code(review).pk).update(enabled=False)

    assert refused_for_its_reason(review, cast.ada, Rationale(foreign))
    assert refused_for_its_reason(review, cast.ada, Rationale(code(review)))


# --- who -------------------------------------------------------------------------------------------------------------


def second_account(of: User, name: str, role: Role = Role.OPERATOR) -> User:
    """Another account of the same human being, in the same team."""
    organization = of.memberships.get().organization
    user = make_member(organization, name, role, teams=(organization.teams.get(slug="refunds"),))
    user.person = of.person
    user.save(update_fields=["person"])
    return user


def refused(review: Review, voter: User, refusal: type[Exception]) -> bool:
    """Neither verdict is taken, and nothing happened."""
    for verdict in Verdict:
        with pytest.raises(refusal):
            vote(review, voter, verdict)
    return untouched(review)


def test_nobody_votes_on_what_they_asked_for(review: Review, cast: Cast):
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ada)

    assert refused(review, cast.ada, SelfApproval)


def test_a_second_account_of_the_requester_does_not_vote(review: Review, cast: Cast):
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ada)

    assert refused(review, second_account(cast.ada, "ada2"), SelfApproval)


def test_nobody_votes_on_what_they_corrected_nor_does_their_second_account(review: Review, cast: Cast):
    Correction.objects.create(case=review.case, user=cast.ada, before={}, after={}, reason="x")

    assert refused(review, cast.ada, SelfApproval)
    assert refused(review, second_account(cast.ada, "ada2"), SelfApproval)


def test_nobody_votes_on_what_was_begun_for_a_case_they_corrected(review: Review, cast: Cast):
    above = make_run(make_case(review.organization))
    between = make_run(make_case(review.organization), parent=above)
    Run.objects.filter(pk=review.run_id).update(parent=between)
    Correction.objects.create(case=above.case, user=cast.ada, before={}, after={}, reason="x")

    assert refused(review, cast.ada, SelfApproval)


@pytest.mark.parametrize("party", ["ada", "ADA"])
def test_nobody_votes_on_what_they_would_get(review: Review, cast: Cast, party: str):
    own = make_review(make_case(review.organization, party=party))

    assert refused(own, cast.ada, SelfApproval)
    assert refused(own, second_account(cast.ada, "ada2"), SelfApproval)


def test_closing_the_account_that_would_get_it_does_not_free_the_other(review: Review, cast: Cast):
    own = make_review(make_case(review.organization, party="ada"))
    other = second_account(cast.ada, "ada2")
    User.objects.filter(pk=cast.ada.pk).update(is_active=False)

    assert refused(own, other, SelfApproval)


@pytest.mark.parametrize("who", ["tomasz", "ines"])
def test_admins_and_auditors_do_not_decide(review: Review, cast: Cast, who: str):
    user = getattr(cast, who)
    review.organization.teams.get(slug="refunds").members.add(user)

    assert refused(review, user, NotAVoter)


def test_who_is_not_in_the_team_does_not_decide(review: Review, cast: Cast):
    review.organization.teams.get(slug="refunds").members.remove(cast.maya)

    assert refused(review, cast.maya, NotAVoter)


def test_members_of_another_organization_do_not_decide(review: Review, cast: Cast):
    _, others = make_desk("other", suffix="-other")
    review.organization.teams.get(slug="refunds").members.add(others.ada)

    assert refused(review, others.ada, NotAVoter)


@pytest.mark.parametrize("loss", ["ended", "inactive", "role"])
def test_who_lost_the_right_does_not_decide(review: Review, cast: Cast, loss: str):
    lose(cast.ada, loss)

    assert refused(review, cast.ada, NotAVoter)


def lose(user: User, how: str) -> None:
    """Take the right to decide from somebody."""
    match how:
        case "ended":
            user.memberships.update(ended_at=clock.now())
        case "inactive":
            User.objects.filter(pk=user.pk).update(is_active=False)
        case "role":
            user.memberships.update(role=Role.VIEWER)


def test_handing_the_case_over_does_not_make_anybody_eligible(review: Review, cast: Cast):
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ada)

    for who, refusal in ((cast.ada, SelfApproval), (cast.tomasz, NotAVoter)):
        with pytest.raises(refusal):
            reassign(review.pk, to=who, by=cast.maya)
    reassign(review.pk, to=cast.ben, by=cast.maya)

    assert Review.objects.get().assignee == cast.ben
    with pytest.raises(SelfApproval):
        vote(review, cast.ada)


# --- several votes and stages ----------------------------------------------------------------------------------------


def test_two_votes_are_of_two_people(review: Review, cast: Cast):
    stages(review, 2)
    twin = second_account(cast.ada, "ada2")
    vote(review, cast.ada)

    for who in (cast.ada, twin):
        with pytest.raises(VotedBefore):
            vote(review, who)
    assert now(review)[0] == ReviewState.OPEN
    vote(review, cast.ben)

    assert now(review)[0] == ReviewState.APPROVING


def test_accounts_found_to_be_of_one_person_count_once_from_then_on(review: Review, cast: Cast):
    stages(review, 2)
    loose = [second_account(cast.ada, name) for name in ("one", "two")]
    User.objects.filter(pk__in=[user.pk for user in loose]).update(person=None)
    for user in loose:
        user.refresh_from_db()
    vote(review, loose[0])
    person = Person.objects.create(name="One and two")
    User.objects.filter(pk__in=[user.pk for user in loose]).update(person=person)
    loose[1].refresh_from_db()

    with pytest.raises(VotedBefore):
        vote(review, loose[1])


def test_whoever_has_voted_is_not_asked_again(review: Review, cast: Cast):
    stages(review, 3)

    vote(review, cast.ada)
    review.refresh_from_db()
    assert review.assignee in (cast.ben, cast.maya)
    vote(review, cast.ben)

    review.refresh_from_db()
    assert review.assignee == cast.maya


def test_a_stage_that_nobody_is_left_for_is_blocked_and_escalated_never_passed(review: Review, cast: Cast):
    stages(review, 4)
    for who in (cast.ada, cast.ben, cast.maya):
        vote(review, who)

    assert now(review)[0] == ReviewState.OPEN
    assert review.assignee is None
    assert review.blocked_reason == "Nobody in Refunds may vote on this case."
    assert review.escalated_at is not None
    assert Entry.objects.filter(verb="approvals.review.blocked").count() == 1


def test_stages_vote_one_after_the_other(review: Review, cast: Cast):
    stages(review, 1, 1)
    review.organization.teams.get(slug="managers").members.set([cast.maya])

    with pytest.raises(NotAVoter):
        vote(review, make_member(review.organization, "nobody", Role.OPERATOR))
    vote(review, cast.ada)
    assert now(review) == (ReviewState.OPEN, 1)
    assert review.assignee == cast.maya
    with pytest.raises(NotAVoter):
        vote(review, cast.ben)
    vote(review, cast.maya)

    assert now(review)[0] == ReviewState.APPROVING


def test_one_person_does_not_vote_in_two_stages(review: Review, cast: Cast):
    stages(review, 1, 1)
    vote(review, cast.ben)

    with pytest.raises(VotedBefore):
        vote(review, cast.ben)


# --- second thoughts -------------------------------------------------------------------------------------------------


def test_a_vote_can_be_taken_back_while_it_has_no_effect(review: Review, cast: Cast):
    vote(review, cast.ada)

    take_back(review.pk, voter=cast.ada)

    assert now(review)[0] == ReviewState.OPEN
    assert (review.settles_at, review.decided_by) == (None, None)
    assert Vote.objects.get().withdrawn_at is not None
    assert Entry.objects.get(verb="approvals.review.taken_back").before == {"verdict": "approve"}
    pass_time(timedelta(minutes=1))
    assert settle(review.pk) == 0
    vote(review, cast.ada, Verdict.REJECT)  # and decided otherwise


def test_after_the_window_it_is_too_late(review: Review, cast: Cast):
    vote(review, cast.ada)
    pass_time(timedelta(seconds=11))

    with pytest.raises(TooLate):
        take_back(review.pk, voter=cast.ada)

    assert settle(review.pk) == 1


def test_nobody_takes_back_the_vote_of_somebody_else(review: Review, cast: Cast):
    vote(review, cast.ada)

    with pytest.raises(TooLate):
        take_back(review.pk, voter=cast.ben)

    assert now(review)[0] == ReviewState.APPROVING


def test_a_vote_of_an_earlier_stage_that_is_taken_back_is_asked_for_again(review: Review, cast: Cast):
    stages(review, 1, 1)
    vote(review, cast.ada)
    vote(review, cast.maya)

    take_back(review.pk, voter=cast.ada)

    assert now(review) == (ReviewState.OPEN, 0)
    assert review.assignee in (cast.ada, cast.ben)
    vote(review, cast.ben)
    assert now(review)[0] == ReviewState.APPROVING  # Maya's vote of the second stage stands
    pass_time(timedelta(seconds=11))
    assert settle(review.pk) == 1
    assert set(Authorization.objects.get().granted_by.split(" and ")) == {"Ben Marsh", "Maya Nowak"}


# --- objecting -------------------------------------------------------------------------------------------------------


@pytest.fixture
def leaving(review: Review, cast: Cast) -> Review:
    """A fast-track review whose window ends in half an hour."""
    return make_review(
        make_case(review.organization, amount="60.00"),
        tier=Tier.FAST_TRACK,
        objection_ends_at=clock.now() + timedelta(minutes=30),
    )


def test_an_objection_stops_the_clock_and_asks_people(leaving: Review, cast: Cast):
    object_to(leaving.pk, by=cast.maya, text="The customer called.")

    leaving.refresh_from_db()
    assert (leaving.tier, leaving.objection_ends_at, leaving.state) == (Tier.FULL_REVIEW, None, ReviewState.OPEN)
    assert leaving.assignee is not None
    pass_time(timedelta(days=1))
    assert leave(leaving.pk) == 0
    entry = Entry.objects.get(verb="approvals.review.objected")
    assert (entry.user, entry.reason) == (cast.maya, "The customer called.")


@pytest.mark.parametrize("who", ["tomasz", "ines"])
def test_who_may_not_decide_may_not_object(leaving: Review, cast: Cast, who: str):
    with pytest.raises(SelfApproval):
        object_to(leaving.pk, by=getattr(cast, who), text="")

    leaving.refresh_from_db()
    assert leaving.tier == Tier.FAST_TRACK


def test_an_objection_comes_once(leaving: Review, cast: Cast):
    object_to(leaving.pk, by=cast.maya, text="")

    with pytest.raises(AlreadyDecided, match="already objected"):
        object_to(leaving.pk, by=cast.ada, text="")


def test_votes_for_leaving_do_not_count_once_somebody_objected(leaving: Review, cast: Cast):
    """People were told that it leaves by itself; whether it may be paid at all is another question."""
    leaving.settings.stages.update(votes=2)
    vote(leaving, cast.ben)
    object_to(leaving.pk, by=cast.maya, text="")
    leaving.refresh_from_db()
    assert leaving.settings.stages.get().votes == 1

    assert not leaving.votes.filter(withdrawn_at=None).exists()
    vote(leaving, cast.ben)
    assert now(leaving)[0] == ReviewState.APPROVING


def test_a_vote_for_leaving_that_is_taken_back_asks_people(leaving: Review, cast: Cast):
    vote(leaving, cast.maya)
    leaving.refresh_from_db()
    assert leaving.objection_ends_at is None

    take_back(leaving.pk, voter=cast.maya)

    leaving.refresh_from_db()
    assert (leaving.state, leaving.tier, leaving.objection_ends_at) == (ReviewState.OPEN, Tier.FULL_REVIEW, None)


@pytest.mark.parametrize("gone", ["settings", "stages"])
def test_an_objection_counts_although_nobody_is_set_up_to_decide(leaving: Review, cast: Cast, gone: str):
    full = TierSettings.objects.get(organization=leaving.organization, tier=Tier.FULL_REVIEW)
    Review.objects.exclude(pk=leaving.pk).filter(settings=full).delete()
    full.stages.all().delete()
    if gone == "settings":
        full.delete()

    object_to(leaving.pk, by=cast.maya, text="The customer called.")

    leaving.refresh_from_db()
    assert (leaving.tier, leaving.objection_ends_at, leaving.state) == (Tier.FULL_REVIEW, None, ReviewState.OPEN)
    assert leaving.blocked_reason
    assert leaving.escalated_at is not None
    pass_time(timedelta(days=1))
    assert leave(leaving.pk) == 0


def test_a_tier_whose_stage_was_taken_away_lets_nobody_vote(review: Review, cast: Cast):
    review.settings.stages.all().delete()

    assert refused(review, cast.ada, NotAVoter)


# --- the rest --------------------------------------------------------------------------------------------------------


def test_escalating_keeps_the_first_moment(review: Review, cast: Cast):
    escalate(review.pk, by=cast.ada, text="Over my head.")
    first = Review.objects.get().escalated_at
    escalate(review.pk, by=cast.ben, text="")

    assert Review.objects.get().escalated_at == first
    assert Entry.objects.filter(verb="approvals.review.escalated").count() == 2


@pytest.mark.parametrize("state", ["open", "approving", "rejecting"])
def test_a_case_that_is_withdrawn_or_corrected_voids_its_review(review: Review, cast: Cast, state: str):
    if state != "open":
        vote(review, cast.ada, Verdict.APPROVE if state == "approving" else Verdict.REJECT)

    void_open(review.case, "Ada corrected the request")

    assert now(review)[0] == ReviewState.VOID
    pass_time(timedelta(minutes=1))
    assert settle(review.pk) == 0
    assert not Authorization.objects.exists()
    assert Entry.objects.get(verb="approvals.review.voided").reason == "Ada corrected the request"
