"""Rights that are taken away while somebody is at it: the next request is refused, whatever was open or held."""

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import cycle
from typing import Any

import pytest
from django.test import Client

from accounts import sessions, tokens
from accounts.models import Team, User
from accounts.roles import Role
from approvals import claims, pulling, pushing, services
from approvals.models import Absence, Claim, ReasonCode, Review, Vote
from approvals.services import Rationale
from approvals.states import ReviewState, Verdict
from approvals.timers import settle
from auditlog.models import Entry
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from tests.approvals.desk import decision, htmx, signed_in, url
from tests.factories import make_absence, make_case, make_desk, make_review
from workflows.models import Authorization

pytestmark = pytest.mark.django_db
WAYS = ["ended", "inactive", "role", "team"]
# Leaving a team takes away the vote, not the desk.
OFF_THE_DESK = ["ended", "inactive", "role"]


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
    return make_review(make_case(organization))


def take_away(user: User, how: str) -> None:
    match how:
        case "ended":
            user.memberships.update(ended_at=clock.now())
        case "inactive":
            User.objects.filter(pk=user.pk).update(is_active=False)
        case "role":
            user.memberships.update(role=Role.VIEWER)
        case "team":
            for team in Team.objects.all():
                team.members.remove(user)


def vote(review: Review, voter: User) -> Review:
    return services.decide(
        review.pk,
        voter=voter,
        verdict=Verdict.APPROVE,
        rationale=Rationale(ReasonCode.objects.get(code="goods-returned")),
        seen=review.content_hash,
    )


def attempts(client: Client, review: Review, absence: Absence) -> dict[str, Callable[[], Any]]:
    """Every way in which somebody at the desk acts on a case, as their open page would send it."""
    own = f"/time-off/{absence.pk}/call-off/"
    days = {"begins_on": "2030-01-01", "ends_on": "2030-01-02"}
    return {
        "decide": lambda: client.post(url("decide", review), decision(review), **htmx()),
        "decide without htmx": lambda: client.post(url("decide", review), decision(review)),
        "take back": lambda: client.post(url("take_back", review), **htmx()),
        "escalate": lambda: client.post(url("escalate", review), {"text": "Look."}, **htmx()),
        "object": lambda: client.post(url("object", review), {"text": "No."}, **htmx()),
        "claim": lambda: client.post(url("claim", review), **htmx()),
        "hold": lambda: client.post(url("hold", review), **htmx("held")),
        "let go": lambda: client.post(url("let_go", review), **htmx()),
        "next": lambda: client.post("/queue/next/", **htmx("desk")),
        "agree": lambda: client.post("/time-off/agree/", days),
        "call off": lambda: client.post(own),
    }


def refused(answer: Any) -> bool:
    to = answer.headers.get("Location", "")
    return answer.status_code in (401, 403) or (answer.status_code == 302 and to.startswith("/sign-in/"))


def standing(review: Review) -> tuple[Any, ...]:
    """What could have changed by it."""
    review.refresh_from_db()
    return (
        review.state,
        review.escalated_at,
        review.assignee_id,
        Vote.objects.count(),
        list(Claim.objects.values_list("holder", "since", "until")),
        Absence.objects.standing().count(),
        Entry.objects.count(),
    )


@pytest.mark.parametrize("how", OFF_THE_DESK)
def test_nothing_an_open_page_sends_passes_once_the_right_is_gone(review, cast, organization, how):
    ada, absence = signed_in(cast.ada), make_absence(cast.ada, organization, days=(20, 21))
    ada.get("/queue/", {"case": review.case_id})
    claims.claim(review.pk, by=cast.ada)
    before = standing(review)
    take_away(cast.ada, how)

    every = attempts(ada, review, absence)
    passed = [name for name, attempt in every.items() for _ in range(4) if not refused(attempt())]

    assert passed == []
    assert standing(review) == before


def test_of_a_hundred_rights_taken_away_none_is_used_once_more(review, cast):
    member = cast.ada.memberships.select_related("user", "organization").get()
    _, token = tokens.make(member, by=cast.ada, name="x", scopes=["reviews:decide"], days=9, ceiling=10**6)
    program = {"headers": {"Authorization": f"Bearer {token}"}, "content_type": "application/json"}
    said = {"verdict": "approve", "reason": "goods-returned", "seen": review.content_hash, "text": "As agreed."}
    before, entries = Vote.objects.count(), Entry.objects.count()

    passed = []
    for round_, how in zip(range(100), cycle([*OFF_THE_DESK, "password", "sessions"]), strict=False):
        ada = signed_in(cast.ada)
        if how == "password":
            User.objects.filter(pk=cast.ada.pk).update(password=f"!another {round_}")
        elif how == "sessions":
            sessions.end(of_user=cast.ada.pk)
        else:
            take_away(cast.ada, how)
        answers = [ada.get("/queue/"), ada.post(url("decide", review), decision(review))]
        if how in OFF_THE_DESK:
            answers.append(ada.generic("POST", f"/api/v1/reviews/{review.pk}/decide", json.dumps(said), **program))
        passed += [(round_, how, answer.status_code) for answer in answers if not refused(answer)]
        cast.ada.memberships.update(ended_at=None, role=Role.OPERATOR)
        User.objects.filter(pk=cast.ada.pk).update(is_active=True)
        cast.ada.refresh_from_db()

    assert passed == []
    assert (Vote.objects.count(), Entry.objects.count()) == (before, entries)


@pytest.mark.parametrize("how", WAYS)
def test_a_held_claim_and_the_next_case_are_gone_with_the_right(review, cast, how):
    claims.claim(review.pk, by=cast.ada)
    take_away(cast.ada, how)

    with pytest.raises(DomainError):
        vote(review, cast.ada)
    for member in cast.ada.memberships.all():
        assert pulling.take_next(member) is None
    claims.claim(review.pk, by=cast.ben, over=cast.ada.pk)
    assert claims.is_held_by(review, cast.ben)


@pytest.mark.parametrize("how", WAYS)
def test_a_vote_that_waits_to_take_effect_does_not_once_the_right_is_gone(review, cast, how):
    vote(review, cast.ada)
    take_away(cast.ada, how)
    Review.objects.filter(pk=review.pk).update(settles_at=clock.now() - timedelta(seconds=1))

    settle(review.pk)

    review.refresh_from_db()
    assert review.state == ReviewState.VOID
    assert not Authorization.objects.exists()


@pytest.mark.parametrize("how", OFF_THE_DESK)
def test_what_was_given_to_somebody_goes_on_to_others_without_them(review, cast, how):
    Review.objects.filter(pk=review.pk).update(assignee=cast.ada)
    take_away(cast.ada, how)

    pushing.give_out()

    review.refresh_from_db()
    assert review.assignee in (cast.ben, cast.maya)


# --- keys in forms, and what others may see --------------------------------------------------------------------------


def test_keys_of_another_organization_in_a_form_are_nobody(review, cast, organization):
    theirs, others = make_desk("retail-de", suffix="-de")
    away = make_absence(others.ada, theirs, delegate=others.ben)
    maya = signed_in(cast.maya)
    today = clock.now().date().isoformat()

    for sent in (
        {"user": others.ada.pk, "begins_on": today, "ends_on": today},
        {"user": cast.ada.pk, "delegate": others.ben.pk, "begins_on": today, "ends_on": today},
    ):
        assert maya.post("/time-off/agree/", sent).status_code == 422
    assert maya.post(f"/time-off/{away.pk}/call-off/").status_code == 404
    claims.claim(review.pk, by=cast.ben)
    assert maya.post(url("claim", review), {"over": others.ben.pk}, **htmx()).status_code == 409

    assert Absence.objects.standing().count() == 1


def test_an_operator_enters_nobodys_time_off_but_their_own(cast, organization):
    ada, today = signed_in(cast.ada), clock.now().date().isoformat()
    theirs = make_absence(cast.ben, organization)

    ada.post("/time-off/agree/", {"user": cast.maya.pk, "begins_on": today, "ends_on": today})
    ada.post(f"/time-off/{theirs.pk}/call-off/")

    assert set(Absence.objects.standing().values_list("user__username", flat=True)) == {"ada", "ben"}


def test_who_is_away_is_seen_by_those_who_decide_and_in_their_own_organization_only(cast, organization):
    theirs, others = make_desk("retail-de", suffix="-de")
    User.objects.filter(pk=others.ada.pk).update(first_name="Canary")
    make_absence(others.ada, theirs)
    make_absence(cast.ben, organization)

    page = signed_in(cast.ada).get("/time-off/").content.decode()

    assert "Ben Marsh" in page
    assert "Canary" not in page
    assert signed_in(cast.ines).get("/time-off/").status_code == 403
