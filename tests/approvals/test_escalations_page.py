"""Escalations: what is late or stuck, who carries what, handing work over."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.roles import Role
from approvals.models import Review
from approvals.states import ReviewState
from approvals.views.workload import Board
from auditlog.models import Entry
from opsdesk.lib import clock
from tests.approvals.desk import htmx, signed_in, url
from tests.factories import at, make_case, make_desk, make_member, make_review, make_team
from workflows import cases
from workflows.models import Case
from workflows.states import Tier

pytestmark = pytest.mark.django_db
ESCALATIONS = "/escalations/"


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
def maya(cast):
    return signed_in(cast.maya)


def due_in(organization, minutes, **fields):
    return make_review(make_case(organization), due_at=clock.now() + timedelta(minutes=minutes), **fields)


def board_of(cast):
    return Board(cast.maya.memberships.get())


def text_of(response):
    return response.content.decode()


def test_each_review_in_trouble_stands_once_under_what_troubles_it(cast, organization):
    late = due_in(organization, -48)
    soon = due_in(organization, 59)
    escalated = due_in(organization, 200, escalated_at=clock.now())
    blocked = due_in(organization, -5, escalated_at=clock.now(), blocked_reason="Nobody in Refunds may vote.")
    due_in(organization, 200)

    groups = {key: [row.review for row in rows] for key, _, rows in board_of(cast).groups}

    assert groups == {"blocked": [blocked], "late": [late], "escalated": [escalated], "soon": [soon]}


def test_the_figures_count_what_there_is(cast, organization):
    due_in(organization, -48)
    due_in(organization, -5, blocked_reason="Nobody may.", escalated_at=clock.now())
    due_in(organization, 30)
    due_in(organization, 300, escalated_at=clock.now())

    assert board_of(cast).counts == {"late_now": 2, "soon": 1, "escalated": 1, "blocked": 1, "open": 4}


def test_what_leaves_by_itself_is_not_late(cast, organization):
    due_in(organization, -5, tier=Tier.FAST_TRACK, objection_ends_at=clock.now())
    stuck = due_in(organization, -5, tier=Tier.FAST_TRACK)

    assert [row.review for row in board_of(cast).rows] == [stuck]


def test_people_and_teams_are_shown_with_what_they_carry(cast, organization):
    hour_ago = clock.now() - timedelta(hours=1)
    at(due_in(organization, -5, assignee=cast.ada), opened_at=hour_ago)
    due_in(organization, 300, assignee=cast.ada)
    due_in(organization, 300)
    done = due_in(organization, 300, assignee=cast.ben)
    Review.objects.filter(pk=done.pk).update(state=ReviewState.APPROVED, decided_by=cast.ben, closed_at=clock.now())

    board = board_of(cast)

    loads = {load.name: (load.open, load.late, load.done) for load in board.loads}
    assert loads == {"Ada Okafor": (2, 1, 0), "Ben Marsh": (0, 0, 1), "Maya Nowak": (0, 0, 0), "Nobody": (1, 0, 0)}
    assert next(load for load in board.loads if load.name == "Ada Okafor").age >= timedelta(hours=1)
    assert [(team.name, team.open, team.late) for team in board.teams] == [("Refunds", 3, 1)]


def test_the_page_says_all_of_it(maya, cast, organization):
    review = due_in(organization, -48, assignee=cast.ada)

    page = text_of(maya.get(ESCALATIONS))

    for words in (
        "Past due",
        "1 of 1 open reviews is late.",
        "48 min late",
        review.case.party_name,
        "Who carries what",
    ):
        assert words in page
    assert reverse("approvals:case", args=[review.case_id]) in page


def test_all_in_time_says_so(maya, organization):
    due_in(organization, 300)

    assert "All in time" in text_of(maya.get(ESCALATIONS))


@pytest.mark.parametrize(("who", "status"), [("ada", 403), ("maya", 200), ("tomasz", 200), ("ines", 403)])
def test_the_page_is_for_those_who_manage(cast, who, status):
    client = signed_in(getattr(cast, who))

    assert client.get(ESCALATIONS).status_code == status
    assert client.get(reverse("approvals:escalations_news")).status_code == status


def test_only_people_who_could_decide_are_offered(cast, organization):
    make_member(organization, "zoe", Role.OPERATOR, first_name="Zoe", teams=(make_team(organization, "other"),))
    mine, corrected = due_in(organization, -48, assignee=cast.ada), due_in(organization, -40)
    cases.correct(corrected.case_id, by=cast.ben, changes={"customer": "1"}, reason="Typing slip.")
    again = due_in(organization, -30)
    Review.objects.filter(pk=again.pk).update(case=corrected.case)

    takers = {row.review.pk: {str(user) for user in row.takers} for row in board_of(cast).rows}

    assert takers[mine.pk] == {"Ben Marsh", "Maya Nowak"}
    assert takers[again.pk] == {"Ada Okafor", "Maya Nowak"}


def test_reassigning_hands_a_review_over(maya, cast, organization):
    review = due_in(organization, -48, assignee=cast.ada)

    response = maya.post(url("reassign", review), {"to": cast.ben.pk}, **htmx("escalations"))

    review.refresh_from_db()
    assert response.status_code == 200
    assert review.assignee == cast.ben
    assert Case.objects.get(pk=review.case_id).standing == "Waits for Ben Marsh to decide."
    assert f"Ben Marsh has {review.case} now." in response.headers["HX-Trigger"]
    assert Entry.objects.get(verb="approvals.review.reassigned").user == cast.maya


def test_without_a_script_reassigning_leads_back(maya, cast, organization):
    review = due_in(organization, -48)

    response = maya.post(url("reassign", review), {"to": cast.ben.pk}, follow=True)

    assert response.redirect_chain == [(ESCALATIONS, 302)]
    assert f"Ben Marsh has {review.case} now." in text_of(response)


@pytest.mark.parametrize(
    ("to", "answer"),
    [
        ("tomasz", (409, "stays where it is. Only Refunds decides this")),
        ("", (422, "Choose who gets")),
        ("9" * 30, (422, "Choose who gets")),
    ],
)
def test_a_handover_that_cannot_be_is_refused_in_place(desk, maya, to, answer):
    organization, cast = desk
    review = due_in(organization, -48, assignee=cast.ada)
    sent = {"to": cast.tomasz.pk if to == "tomasz" else to}

    response = maya.post(url("reassign", review), sent, **htmx("escalations"))

    status, says = answer
    assert response.status_code == status
    assert says in text_of(response)
    assert Review.objects.get(pk=review.pk).assignee == cast.ada


def test_a_poll_says_only_whether_something_changed(maya, organization, cast):
    due_in(organization, -48)
    address, stamp = reverse("approvals:escalations_news"), board_of(cast).stamp
    first = maya.get(address, {"stamp": stamp}, **htmx("escalations-news"))
    again = maya.get(address, {"stamp": stamp}, headers={"HX-Request": "true", "If-None-Match": first.headers["ETag"]})
    due_in(organization, -47)
    changed = maya.get(address, {"stamp": stamp}, **htmx("escalations-news"))

    assert "Show what changed" not in text_of(first)
    assert again.status_code == 304
    assert "Show what changed" in text_of(changed)


def test_another_organization_is_not_seen(maya, organization):
    theirs, _ = make_desk("elsewhere", suffix="2")
    review = due_in(theirs, -48)

    assert review.case.party_name not in text_of(maya.get(ESCALATIONS))


def test_the_page_costs_the_same_with_many_rows(maya, cast, organization):
    def statements():
        with CaptureQueriesContext(connection) as captured:
            maya.get(ESCALATIONS)
        return len(captured)

    for _ in range(5):
        due_in(organization, -5, assignee=cast.ada)
    maya.get(ESCALATIONS)
    few = statements()
    for _ in range(40):
        due_in(organization, -5, assignee=cast.ben)

    assert few == statements() <= 16
