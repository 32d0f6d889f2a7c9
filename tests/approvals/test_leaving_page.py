"""Leaving soon: what goes out by itself, and objecting to it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from approvals.models import Review
from approvals.states import ReviewState
from integrations.models import Notice
from integrations.states import NoticeState
from opsdesk.lib import clock
from tests.approvals.desk import htmx, signed_in, url
from tests.factories import make_case, make_desk, make_review
from workflows.states import Tier

pytestmark = pytest.mark.django_db
LEAVING = "/leaving/"


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


def leaving(organization, minutes=9, **fields):
    """A fast-track review; `minutes` None: its clock has not started."""
    ends = None if minutes is None else clock.now() + timedelta(minutes=minutes, seconds=30)
    return make_review(make_case(organization, amount="54.80"), tier=Tier.FAST_TRACK, objection_ends_at=ends, **fields)


def tell(review, user, state=NoticeState.DELIVERED, **fields):
    delivered = {"delivered_at": clock.now()} if state == NoticeState.DELIVERED else {}
    return Notice.objects.create(
        organization_id=review.organization_id, recipient=user, channel="mail", subject="Leaves", body="Leaves",
        path="/", case=review.case, topic=f"leaving:{review.pk}", state=state, **{**delivered, **fields},
    )  # fmt: skip


def text_of(response):
    return response.content.decode()


def test_cards_say_how_long_what_why_and_who_was_told(maya, cast, organization):
    review = leaving(organization)
    tell(review, cast.maya, read_at=clock.now())

    page = text_of(maya.get(LEAVING))

    for words in ("9 min", "£54.80", review.case.party_name, review.decision.sentence, "told Maya Nowak", ", read"):
        assert words in page
    assert "£54.80 goes out by itself unless somebody objects." in page
    assert 'data-key="1"' in page


@pytest.mark.parametrize(
    ("state", "says"), [(NoticeState.DUE, "notice not delivered yet"), (NoticeState.FAILED, "could not be delivered")]
)
def test_a_clock_that_has_not_started_says_why(maya, cast, organization, state, says):
    review = leaving(organization, minutes=None)
    tell(review, cast.maya, state)

    page = text_of(maya.get(LEAVING))

    assert "not started" in page
    assert says in page


def test_the_first_to_leave_stands_first_and_those_without_a_clock_last(maya, organization):
    idle, later, sooner = leaving(organization, None), leaving(organization, 20), leaving(organization, 2)

    page = text_of(maya.get(LEAVING))

    places = [page.index(f'id="leave-{review.pk}"') for review in (sooner, later, idle)]
    assert places == sorted(places)


def test_nothing_leaving_says_so(maya):
    assert "Nothing leaves by itself" in text_of(maya.get(LEAVING))


def test_one_press_objects_and_the_card_says_so_where_it_stands(maya, organization):
    review, other = leaving(organization), leaving(organization)

    response = maya.post(url("leaving_object", review), **htmx(f"leave-{review.pk}"))

    review.refresh_from_db()
    page = text_of(response)
    assert (review.tier, review.objection_ends_at) == (Tier.FULL_REVIEW, None)
    assert f'id="leave-{review.pk}"' in page and "it waits for people" in page
    assert f'id="leave-{other.pk}"' not in page
    assert "Objected" in response.headers["HX-Trigger"]


def test_without_a_script_an_objection_leads_back(maya, organization):
    review = leaving(organization)

    response = maya.post(url("leaving_object", review), follow=True)

    assert response.redirect_chain == [(LEAVING, 302)]
    assert "waits for people now" in text_of(response)


def test_an_objection_that_comes_too_late_is_told_in_place(maya, organization):
    review = leaving(organization)
    Review.objects.filter(pk=review.pk).update(state=ReviewState.APPROVED, closed_at=clock.now())

    response = maya.post(url("leaving_object", review), **htmx(f"leave-{review.pk}"))

    assert response.status_code == 409
    assert "Approved: nobody objected, " in text_of(response)
    assert Review.objects.get(pk=review.pk).tier == Tier.FAST_TRACK


@pytest.mark.parametrize(("who", "sees"), [("ada", True), ("maya", True), ("tomasz", False), ("ines", False)])
def test_only_those_who_decide_can_object(cast, organization, who, sees):
    review = leaving(organization)

    page = text_of(signed_in(getattr(cast, who)).get(LEAVING))

    assert (url("leaving_object", review) in page) == sees


def poll(client, shown, idle="", **headers):
    return client.get(
        reverse("approvals:leaving_news"),
        {"shown": shown, "idle": idle},
        headers={"HX-Request": "true", "HX-Target": "leaving-news", **headers},
    )


def test_a_poll_that_brings_nothing_is_answered_by_304(maya, organization):
    review = leaving(organization)
    first = poll(maya, review.pk)

    assert "leave-" not in text_of(first)
    assert poll(maya, review.pk, **{"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_cards_that_left_change_where_they_stand_and_new_ones_are_offered(maya, organization):
    gone, new = leaving(organization), leaving(organization)
    Review.objects.filter(pk=gone.pk).update(state=ReviewState.APPROVED, closed_at=clock.now())

    news = text_of(poll(maya, gone.pk))

    assert f'id="leave-{gone.pk}"' in news and "nobody objected" in news
    assert "Show 1 new case" in news
    assert f'id="leave-{new.pk}"' not in news
    assert "csrfmiddlewaretoken" not in news


def test_a_clock_that_starts_is_shown_on_its_card(maya, cast, organization):
    review = leaving(organization)
    tell(review, cast.maya)

    news = text_of(poll(maya, review.pk, idle=review.pk))

    assert f'id="leave-clock-{review.pk}" hx-swap-oob="true"' in news
    assert 'id="leaving-idle" name="idle" value=""' in news


def test_another_organization_is_not_seen(maya, organization):
    theirs, _ = make_desk("elsewhere", suffix="2")
    review = leaving(theirs)

    assert f"leave-{review.pk}" not in text_of(maya.get(LEAVING))
    assert f"leave-{review.pk}" not in text_of(poll(maya, review.pk))


def test_the_page_costs_the_same_with_many_cards(maya, cast, organization):
    def statements():
        with CaptureQueriesContext(connection) as captured:
            maya.get(LEAVING)
        return len(captured)

    for _ in range(5):
        tell(leaving(organization), cast.maya)
    maya.get(LEAVING)
    few = statements()
    for _ in range(40):
        tell(leaving(organization), cast.maya)

    assert few == statements() <= 12
