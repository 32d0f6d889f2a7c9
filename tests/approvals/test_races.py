"""Several people and a timer at the same case at the same moment: the database lets exactly one of them win."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from accounts.models import Organization, User
from approvals import services, timers
from approvals.errors import AlreadyDecided
from approvals.models import ReasonCode, Review, TierSettings
from approvals.services import Rationale
from approvals.states import ReviewState, Verdict
from auditlog.models import Entry
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from tests.factories import Cast, make_case, make_desk, make_review
from workflows.models import Authorization
from workflows.states import RunState, Tier, WaitsFor

CASES = 200
PATIENCE_SECONDS = 30
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk() -> tuple[Organization, Cast]:
    return make_desk()


@pytest.fixture(scope="module")
def at_once() -> Iterator[Callable[..., list[Any]]]:
    """Runs functions at the same moment, each on a connection of its own that is kept; gives answers or refusals."""
    with ThreadPoolExecutor(max_workers=3) as pool:

        def run(*acts: Callable[[], Any]) -> list[Any]:
            barrier = Barrier(len(acts))

            def go(act: Callable[[], Any]) -> Any:
                connection.ensure_connection()
                barrier.wait(PATIENCE_SECONDS)
                try:
                    return act()
                except DomainError as refusal:
                    return refusal

            return [future.result(PATIENCE_SECONDS) for future in [pool.submit(go, act) for act in acts]]

        yield run
        closing = Barrier(3)
        for future in [pool.submit(lambda: (closing.wait(PATIENCE_SECONDS), connection.close())) for _ in range(3)]:
            future.result(PATIENCE_SECONDS)


def leaving(organization: Organization, cast: Cast) -> Review:
    """A fast-track review whose objection window has just ended."""
    review = make_review(make_case(organization), tier=Tier.FAST_TRACK, assignee=cast.maya)
    Review.objects.filter(pk=review.pk).update(objection_ends_at=clock.now() - timedelta(milliseconds=1))
    return review


def vote(review: Review, voter: User, verdict: Verdict) -> Callable[[], Review]:
    code = ReasonCode.objects.filter(organization_id=review.organization_id, verdict=verdict, text_needed=False).first()
    assert code is not None
    rationale = Rationale(code, "Looked at the order and the parcel.")
    return lambda: services.decide(
        review.pk, voter=voter, verdict=verdict, rationale=rationale, seen=review.content_hash
    )


def verdicts(review: Review) -> int:
    """How many of the possible ends the audit log and the rows show."""
    verbs = ("voted_approve", "voted_reject", "approved")
    return Entry.objects.filter(
        subject_kind="review", subject_id=review.pk, verb__in=[f"approvals.review.{verb}" for verb in verbs]
    ).count()


def latecomers(review: Review) -> list[str]:
    """Who is on record as having lost the race."""
    late = Entry.objects.filter(verb="approvals.review.came_too_late", subject_kind="review", subject_id=review.pk)
    return sorted(late.values_list("user__username", flat=True))


def test_of_approve_reject_and_expiry_exactly_one_wins(desk: tuple[Organization, Cast], at_once: Any):
    organization, cast = desk
    winners = {"approve": 0, "reject": 0, "timer": 0}
    for _ in range(CASES):
        review = leaving(organization, cast)

        approved, rejected, left = at_once(
            vote(review, cast.ada, Verdict.APPROVE),
            vote(review, cast.maya, Verdict.REJECT),
            lambda review=review: timers.leave(review.pk),
        )

        won = {
            "approve": isinstance(approved, Review),
            "reject": isinstance(rejected, Review),
            "timer": left == 1,
        }
        assert sum(won.values()) == 1, (approved, rejected, left)
        losers = [answer for answer in (approved, rejected) if not isinstance(answer, Review)]
        assert all(isinstance(answer, AlreadyDecided) for answer in losers)
        review.refresh_from_db()
        state = {
            "approve": ReviewState.APPROVING,
            "reject": ReviewState.REJECTING,
            "timer": ReviewState.APPROVED,
        }
        winner = next(name for name, it_did in won.items() if it_did)
        assert review.state == state[winner]
        assert verdicts(review) == 1
        late = {"approve": [cast.maya], "reject": [cast.ada], "timer": [cast.ada, cast.maya]}[winner]
        assert latecomers(review) == sorted(user.username for user in late)
        assert Authorization.objects.filter(case=review.case_id).count() == (1 if winner == "timer" else 0)
        winners[winner] += 1
    assert sum(winners.values()) == CASES


def test_an_objection_that_came_first_always_beats_the_timer(desk: tuple[Organization, Cast], at_once: Any):
    organization, cast = desk
    for _ in range(CASES):
        review = leaving(organization, cast)

        objected, left = at_once(
            lambda review=review: services.object_to(review.pk, by=cast.maya, text="The customer called."),
            lambda review=review: timers.leave(review.pk),
        )

        review.refresh_from_db()
        if left == 1:
            assert isinstance(objected, DomainError)
            assert (review.state, review.tier) == (ReviewState.APPROVED, Tier.FAST_TRACK)
            assert latecomers(review) == [cast.maya.username]
        else:
            assert isinstance(objected, Review)
            assert (review.state, review.tier) == (ReviewState.OPEN, Tier.FULL_REVIEW)
        assert Authorization.objects.filter(case=review.case_id).count() == left


def test_two_votes_at_once_are_two_and_never_three(desk: tuple[Organization, Cast], at_once: Any):
    organization, cast = desk
    TierSettings.objects.get(organization=organization, tier=Tier.FULL_REVIEW).stages.update(votes=2)
    for _ in range(60):
        review = make_review(make_case(organization))

        answers = at_once(
            vote(review, cast.ada, Verdict.APPROVE),
            vote(review, cast.ben, Verdict.APPROVE),
            vote(review, cast.maya, Verdict.APPROVE),
        )

        review.refresh_from_db()
        assert sum(isinstance(answer, Review) for answer in answers) == 2
        assert review.votes.count() == 2
        assert review.state == ReviewState.APPROVING


def test_a_double_click_is_one_vote(desk: tuple[Organization, Cast], at_once: Any):
    organization, cast = desk
    for _ in range(60):
        review = make_review(make_case(organization))
        click = vote(review, cast.ada, Verdict.APPROVE)

        answers = at_once(click, click, click)

        assert sum(isinstance(answer, Review) for answer in answers) == 1
        assert review.votes.count() == 1
        assert not latecomers(review)


def test_settling_and_taking_back_at_once_leave_one_of_them(desk: tuple[Organization, Cast], at_once: Any):
    organization, cast = desk
    for _ in range(60):
        review = make_review(make_case(organization))
        vote(review, cast.ada, Verdict.APPROVE)()
        Review.objects.filter(pk=review.pk).update(settles_at=clock.now())

        taken_back, settled = at_once(
            lambda review=review: services.take_back(review.pk, voter=cast.ada),
            lambda review=review: timers.settle(review.pk),
        )

        review.refresh_from_db()
        assert isinstance(taken_back, Review) != (settled == 1)
        assert Authorization.objects.filter(case=review.case_id).count() == settled
        run = review.run
        run.refresh_from_db()
        assert (run.state == RunState.READY) == (settled == 1)
        assert settled == 1 or run.waits_for == WaitsFor.REVIEW
