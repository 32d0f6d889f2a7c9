"""Self-approval in every disguise the desk knows: whoever asked for it, gets it or wrote it consents to nothing."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from accounts.models import Organization, User
from accounts.roles import Role
from approvals import asking
from approvals.commenting import comment
from approvals.models import ReasonCode, Review, Vote
from approvals.services import reassign
from opsdesk.lib import errands
from opsdesk.lib.errors import DomainError
from tests.approvals.desk import decision, htmx, signed_in, url
from tests.factories import Cast, make_case, make_desk, make_form, make_member, make_review
from tests.plugins.line import vote
from workflows.bulk import carrying
from workflows.models import Authorization, Bulk, Case, Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_desk()[1]


def asked_for_by(user: User, **said: object) -> Review:
    organization = Organization.objects.get()
    return make_review(make_case(organization, requested_by_user=user, **said))


def requester(cast: Cast) -> tuple[Review, User]:
    return asked_for_by(cast.ada), cast.ada


def requester_in_the_team_that_is_asked(cast: Cast) -> tuple[Review, User]:
    review = asked_for_by(cast.maya)
    assert review.organization.teams.get(slug="refunds").members.filter(pk=cast.maya.pk).exists()
    return review, cast.maya


def beneficiary(cast: Cast) -> tuple[Review, User]:
    return make_review(make_case(Organization.objects.get(), party="Ada")), cast.ada


def second_account(cast: Cast) -> tuple[Review, User]:
    team = Organization.objects.get().teams.get(slug="refunds")
    other = make_member(Organization.objects.get(), "ada2", Role.MANAGER, teams=(team,))
    User.objects.filter(pk=other.pk).update(person=cast.ada.person)
    return asked_for_by(cast.ada), User.objects.get(pk=other.pk)


def admin_in_the_team(cast: Cast) -> tuple[Review, User]:
    Organization.objects.get().teams.get(slug="refunds").members.add(cast.tomasz)
    User.objects.filter(pk=cast.tomasz.pk).update(is_superuser=True)
    return asked_for_by(cast.tomasz), User.objects.get(pk=cast.tomasz.pk)


def promoted_since(cast: Cast) -> tuple[Review, User]:
    review = asked_for_by(cast.ben)
    cast.ben.memberships.update(role=Role.MANAGER)
    return review, cast.ben


def who_it_was_given_to(cast: Cast) -> tuple[Review, User]:
    review = asked_for_by(cast.ada)
    with pytest.raises(DomainError):
        reassign(review.pk, to=cast.ada, by=cast.maya)
    Review.objects.filter(pk=review.pk).update(assignee=cast.ada)
    return review, cast.ada


def owner_of_the_trigger(cast: Cast) -> tuple[Review, User]:
    review = make_review(make_case(Organization.objects.get()))
    trigger = make_form(review.organization)
    Run.objects.filter(pk=review.run_id).update(trigger=trigger, version=trigger.version)
    type(trigger.version).objects.filter(pk=trigger.version_id).update(published_by=cast.ada)
    return review, cast.ada


def corrector(cast: Cast) -> tuple[Review, User]:
    review = make_review(make_case(Organization.objects.get()))
    review.case.corrections.create(user=cast.ada, before={}, after={}, reason="x")
    return review, cast.ada


DISGUISES = [
    requester, requester_in_the_team_that_is_asked, beneficiary, second_account, admin_in_the_team, promoted_since,
    who_it_was_given_to, owner_of_the_trigger, corrector,
]  # fmt: skip


@pytest.mark.parametrize("disguise", DISGUISES, ids=lambda disguise: disguise.__name__)
def test_nobody_consents_to_their_own(cast: Cast, disguise: Callable[[Cast], tuple[Review, User]], monkeypatch):
    """By the service, the page, in a list with others, and by what one may say about it instead."""
    monkeypatch.setattr(errands, "push", lambda name, job, key: None)
    review, who = disguise(cast)
    review = Review.objects.select_related("case").get(pk=review.pk)
    client = signed_in(who)

    with pytest.raises(DomainError):
        vote(review, who)
    page = client.post(url("decide", review), decision(review), **htmx())
    less = client.post(url("decide", review), {**decision(review), "verdict": "less", "amount": "0.01"}, **htmx())
    together = client.post("/queue/several/begin/", {"kind": "cases.approve", "ticked": [review.case_id]})
    bulk = Bulk.objects.first()
    if bulk is not None:
        code = ReasonCode.objects.filter(verdict="approve", text_needed=False).first()
        client.post(f"/bulk/{bulk.pk}/start/", {"reason": "All alike, all fine.", "code": code.pk})
        carrying.carry_on(bulk.pk)
    for instead in (
        lambda: asking.ask(review.pk, by=who, text="May I?"),
        lambda: comment(review.case_id, by=who, text="Approved, says I."),
    ):
        with suppress(DomainError):
            instead()

    assert page.status_code in (403, 409)
    assert less.status_code in (403, 409)
    assert together.status_code in (302, 403)
    assert bulk is None or bulk.items.get().result == "refused"
    assert not Vote.objects.exists()
    assert not Authorization.objects.exists()
    assert Case.objects.get(pk=review.case_id).state == "open"
