"""Comments that tell those they name, reviews that are put off and come back, and giving a case to somebody."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Organization
from accounts.roles import Role
from approvals import asking, snoozing
from approvals.commenting import comment
from approvals.errors import AlreadyDecided, BadMoment, NotAVoter, NothingSaid, SelfApproval
from approvals.models import Comment, Review
from approvals.services import reassign
from approvals.states import ReviewState
from approvals.timers import settle_due
from auditlog.models import Entry
from integrations.models import Notice
from opsdesk.lib import clock
from tests.approvals.desk import htmx, signed_in, url
from tests.factories import Cast, make_case, make_desk, make_member, make_review, make_team
from tests.plugins.line import vote
from workflows.models import Case
from workflows.states import Tier

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_desk()[1]


@pytest.fixture
def review(cast: Cast) -> Review:
    return make_review(
        make_case(Organization.objects.get()), assignee=cast.ada, due_at=clock.now() + timedelta(hours=3)
    )


def now(review: Review) -> Review:
    return Review.objects.get(pk=review.pk)


# --- comments --------------------------------------------------------------------------------------------------------


def test_who_is_named_is_told_and_it_stands_in_the_conversation_and_the_timeline(review: Review, cast: Cast):
    row = comment(review.case_id, by=cast.ada, text="(@ben) look, @Maya. Write to ada@shop.example; @ada knows.")

    assert set(row.mentioned.all()) == {cast.ada, cast.ben, cast.maya}
    told = Notice.objects.filter(topic=f"mention:{row.pk}", channel="app")
    assert {notice.recipient for notice in told} == {cast.ben, cast.maya}
    entry = Entry.objects.get(verb="approvals.case.commented")
    assert (entry.user, entry.case_id) == (cast.ada, review.case_id)
    page = signed_in(cast.ines).get(url("case", review)).content.decode()
    assert "(@ben) look" in page
    assert 'id="comment"' not in page  # auditors read


@pytest.mark.parametrize(
    "text", ["", "  \n", "W" * 2_001, "@nobody look", "@ben.marsh", " ".join(f"@a{n}" for n in range(21))]
)
def test_a_comment_that_tells_nobody_what_it_says_is_not_taken(review: Review, cast: Cast, text: str):
    with pytest.raises(NothingSaid):
        comment(review.case_id, by=cast.ada, text=text)

    assert not Comment.objects.exists()
    assert not Notice.objects.exists()


def test_people_of_other_organizations_and_those_who_left_are_not_named(review: Review, cast: Cast):
    make_desk("other", suffix="-other")
    cast.ben.memberships.update(ended_at=clock.now())

    for name in ("ada-other", "ben"):
        with pytest.raises(NothingSaid, match=f"called @{name}"):
            comment(review.case_id, by=cast.maya, text=f"@{name}")


def test_a_comment_is_never_changed(review: Review, cast: Cast):
    row = comment(review.case_id, by=cast.ada, text="It is so.")

    for change in (lambda: Comment.objects.update(text="It is not."), lambda: Comment.objects.all().delete()):
        with pytest.raises(Exception, match="Cannot"), transaction.atomic():
            change()
    with pytest.raises(IntegrityError, match="approvals_comment_says_something"), transaction.atomic():
        Comment.objects.create(organization_id=row.organization_id, case=row.case, author=cast.ada, text="")


def test_commenting_from_the_page_keeps_what_was_refused(review: Review, cast: Cast):
    ada = signed_in(cast.ada)

    refused = ada.post(url("comment", review), {"text": "@nobody <b>look</b>"}, **htmx())
    taken = ada.post(url("comment", review), {"text": "@ben look"}, **htmx())

    assert (refused.status_code, taken.status_code) == (422, 200)
    assert "Nobody here is called @nobody." in refused.content.decode()
    assert "@nobody &lt;b&gt;look&lt;/b&gt;</textarea>" in refused.content.decode()
    assert "@ben look" in taken.content.decode()


# --- putting off -----------------------------------------------------------------------------------------------------


def test_what_is_put_off_leaves_the_queue_and_comes_back_when_its_time_has_come(review: Review, cast: Cast):
    due = review.due_at

    snoozing.snooze(review.pk, by=cast.ada, until=clock.now() + timedelta(hours=1), on_news=False)
    comment(review.case_id, by=cast.ben, text="Not yet.")

    assert settle_due() == 0
    assert not Review.objects.for_queue().exists()
    assert Review.objects.resting().get() == review
    assert now(review).due_at == due  # its clock goes on
    Review.objects.update(snoozed_until=clock.now())
    assert list(Review.objects.for_queue()) == [review]
    assert settle_due() == 1
    assert (now(review).snoozed_until, now(review).snoozed_by) == (None, None)
    assert Entry.objects.get(verb="approvals.review.woke").reason == "Its time has come."


@pytest.mark.parametrize("news", ["comment", "given"])
def test_it_comes_back_as_soon_as_something_happens(review: Review, cast: Cast, news: str):
    snoozing.snooze(review.pk, by=cast.ada, until=clock.now() + timedelta(hours=1), on_news=True)
    assert settle_due() == 0

    if news == "comment":
        comment(review.case_id, by=cast.ben, text="The parcel is here.")
    else:
        reassign(review.pk, to=cast.maya, by=cast.maya)

    assert settle_due() == 1
    assert list(Review.objects.for_queue()) == [review]
    assert settle_due() == 0


@pytest.mark.parametrize("minutes", [-1, 0, 181])
def test_nothing_is_put_off_into_the_past_or_beyond_its_time(review: Review, cast: Cast, minutes: int):
    with pytest.raises(BadMoment):
        snoozing.snooze(review.pk, by=cast.ada, until=clock.now() + timedelta(minutes=minutes), on_news=True)

    assert now(review).snoozed_until is None


def test_who_may_not_vote_and_what_leaves_by_itself_puts_nothing_off(review: Review, cast: Cast):
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ben)
    leaving = make_review(make_case(review.organization), tier=Tier.FAST_TRACK, due_at=review.due_at)
    until = clock.now() + timedelta(hours=1)

    with pytest.raises(SelfApproval):
        snoozing.snooze(review.pk, by=cast.ben, until=until, on_news=False)
    with pytest.raises(NotAVoter):
        snoozing.snooze(review.pk, by=cast.tomasz, until=until, on_news=False)
    with pytest.raises(BadMoment):
        snoozing.snooze(leaving.pk, by=cast.ada, until=until, on_news=False)
    asking.ask(review.pk, by=cast.ada, text="Which?")
    with pytest.raises(AlreadyDecided):
        snoozing.snooze(review.pk, by=cast.ada, until=until, on_news=False)


def test_putting_off_and_having_back_from_the_page(review: Review, cast: Cast):
    ada = signed_in(cast.ada)

    ada.post(url("snooze", review), {"until": "1h", "on_news": "on"}, **htmx())
    asleep = ada.get(url("case", review)).content.decode()
    later = ada.get("/queue/?view=later").content.decode()
    bad = ada.post(url("snooze", review), {"until": "1y"}, **htmx())
    back = ada.post(url("wake", review), **htmx())

    assert "or until something happens to it" in asleep
    assert f'id="queue-row-{review.pk}"' in later
    assert (bad.status_code, back.status_code) == (409, 200)
    assert now(review).snoozed_until is None
    vote(review, cast.ada)
    assert now(review).state == ReviewState.APPROVING


def test_the_database_knows_who_put_it_off(review: Review):
    with pytest.raises(IntegrityError, match="approvals_review_put_off_by_somebody"), transaction.atomic():
        Review.objects.update(snoozed_until=clock.now())


# --- giving ----------------------------------------------------------------------------------------------------------


def test_a_team_gets_it_through_whoever_may_vote_and_is_the_least_busy(review: Review, cast: Cast):
    make_review(make_case(review.organization), assignee=cast.ben)
    seniors = make_team(review.organization, "seniors")
    seniors.members.add(cast.ben, cast.maya, cast.tomasz)

    reassign(review.pk, to=seniors, by=cast.ada)

    assert now(review).assignee == cast.maya


def test_a_team_without_anybody_who_may_vote_does_not_get_it(review: Review, cast: Cast):
    outsider = make_member(review.organization, "olaf", Role.OPERATOR)
    strangers = make_team(review.organization, "strangers")
    strangers.members.add(outsider, cast.tomasz)
    other, _ = make_desk("other", suffix="-other")

    with pytest.raises(NotAVoter, match="Nobody in Strangers may vote"):
        reassign(review.pk, to=strangers, by=cast.ada)
    with pytest.raises(NotAVoter):
        reassign(review.pk, to=other.teams.get(slug="refunds"), by=cast.ada)

    assert now(review).assignee == cast.ada


def test_giving_from_the_page_says_who_cannot_have_it(review: Review, cast: Cast):
    ada, team = signed_in(cast.ada), review.organization.teams.get(slug="refunds")

    refused = ada.post(url("give", review), {"to": f"user-{cast.tomasz.pk}"}, **htmx())
    nobody = ada.post(url("give", review), {"to": "user-x"}, **htmx())
    taken = ada.post(url("give", review), {"to": f"user-{cast.ben.pk}"}, **htmx())
    no_longer_theirs = ada.post(url("give", review), {"to": f"team-{team.pk}"}, **htmx())
    by_manager = signed_in(cast.maya).post(url("give", review), {"to": f"team-{team.pk}"}, **htmx())

    assert [answer.status_code for answer in (refused, nobody, taken, no_longer_theirs, by_manager)] == [
        409, 409, 200, 403, 200,
    ]  # fmt: skip
    assert "Only Refunds decides this" in refused.content.decode()
