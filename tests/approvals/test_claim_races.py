"""Several people who take the next case at the same moment: nobody gets what somebody else got."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from approvals import claims, pulling
from approvals.errors import HeldByAnother
from approvals.models import Claim, Review
from opsdesk.lib.errors import DomainError
from tests.factories import make_case, make_desk, make_review

PATIENCE_SECONDS = 30
pytestmark = pytest.mark.django_db(transaction=True)


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    """Run functions at the same moment, each on a connection of its own; gives answers or refusals."""
    barrier = Barrier(len(acts))

    def go(act: Callable[[], Any]) -> Any:
        connection.ensure_connection()
        barrier.wait(PATIENCE_SECONDS)
        try:
            return act()
        except DomainError as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=len(acts)) as pool:
        return [future.result(PATIENCE_SECONDS) for future in [pool.submit(go, act) for act in acts]]


def pulls(*people: User) -> list[Callable[[], Claim | None]]:
    members = [user.memberships.get() for user in people]
    return [lambda member=member: pulling.take_next(member) for member in members]


def race(rounds: int) -> None:
    organization, cast = make_desk()
    people = (cast.ada, cast.ben, cast.maya)
    for _ in range(rounds):
        Claim.objects.all().delete()
        Review.objects.update(state="void", closed_at="2026-01-01T00:00:00Z")
        # Two cases for three people: somebody goes without, and nobody shares.
        waiting = {make_review(make_case(organization)).pk for _ in range(2)}

        taken = at_once(pulls(*people))

        got = [claim.review_id for claim in taken if claim is not None]
        assert sorted(got) == sorted(waiting), taken
        holders = dict(Claim.objects.values_list("review", "holder"))
        assert holders == {claim.review_id: claim.holder_id for claim in taken if claim is not None}


def test_two_who_take_the_next_case_at_once_never_get_the_same():
    race(8)


@pytest.mark.long
def test_two_who_take_the_next_case_at_once_never_get_the_same_two_hundred_times():
    race(200)


def test_of_two_who_claim_the_same_case_at_once_one_has_it_and_the_other_hears_who():
    organization, cast = make_desk()
    for _ in range(8):
        review = make_review(make_case(organization))
        answers = at_once([lambda key=review.pk, who=who: claims.claim(key, by=who) for who in (cast.ada, cast.ben)])

        refusals = [answer for answer in answers if isinstance(answer, HeldByAnother)]
        assert len(refusals) == 1
        holder = Claim.objects.get(review=review).holder
        assert str(refusals[0]).startswith(f"{holder} has it open since ")
