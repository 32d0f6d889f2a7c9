"""Before large sums are approved the desk asks again who it is, and goes on with the same form."""

import re
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from django.urls import reverse

from approvals.models import ReasonCode, Vote
from opsdesk.lib import clock
from tests.accounts.test_factors import code_of, with_app
from tests.approvals.desk import decision
from tests.factories import make_case, make_review
from tests.plugins.pages import HTMX, text_of

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _quick_hashes(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada(organization, cast, client):
    organization.confirm_above_minor = 20_000
    organization.save()
    cast.ada.set_password(PASSWORD)
    cast.ada.save()
    client.force_login(cast.ada)
    return cast.ada


def review_of(organization, amount):
    return make_review(make_case(organization, amount=amount))


def approve(client, review, *, headers=None, **more):
    form = decision(review, text="Came back broken, seen.") | more
    return client.post(reverse("approvals:decide", args=[review.case_id]), form, headers=headers)


def carried(page):
    """The fields that the page sends again."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.content.decode())
    return {name: unescape(value) for name, value in found if name not in ("csrfmiddlewaretoken", "passkey")}


def test_a_large_sum_asks_and_goes_on_with_the_same_form(organization, ada, client):
    review = review_of(organization, "250.00")

    asked = approve(client, review)

    assert (asked.status_code, "Is it you?" in text_of(asked)) == (422, True)
    assert not Vote.objects.exists()
    again = carried(asked)
    place = reverse("approvals:decide", args=[review.case_id])
    wrong = client.post(place, {**again, "confirm_password": "not this"})
    assert "not right" in text_of(wrong)
    assert carried(wrong) == again
    assert client.post(place, {**again, "confirm_password": PASSWORD}).status_code == 302
    assert [(vote.voter, vote.verdict, vote.text) for vote in Vote.objects.all()] == [
        (ada, "approve", "Came back broken, seen.")
    ]


def test_it_counts_for_its_minutes_and_no_longer(organization, ada, client):
    approve(client, review_of(organization, "250.00"), confirm_password=PASSWORD)
    assert Vote.objects.count() == 1
    approve(client, review_of(organization, "260.00"))
    assert Vote.objects.count() == 2

    with time_machine.travel(clock.now() + timedelta(minutes=15, seconds=1), tick=False):
        asked = approve(client, review_of(organization, "270.00"))

    assert asked.status_code == 422
    assert Vote.objects.count() == 2


def test_small_sums_and_rejections_do_not_ask(organization, ada, client):
    approve(client, review_of(organization, "200.00"))
    assert Vote.objects.count() == 1

    review = review_of(organization, "250.00")
    approve(client, review, **decision(review, "reject"))

    assert Vote.objects.count() == 2


def test_whoever_has_a_second_factor_needs_it(organization, ada, client):
    secret, review = with_app(ada), review_of(organization, "250.00")
    client.force_login(ada)

    assert approve(client, review, confirm_password=PASSWORD).status_code == 422
    code = code_of(secret)
    assert approve(client, review, confirm_code=code).status_code == 302
    other = review_of(organization, "260.00")
    client.force_login(ada)
    session = client.session
    del session["confirmed_at"]
    session.save()
    assert approve(client, other, confirm_code=code).status_code == 422
    assert Vote.objects.count() == 1


def test_htmx_gets_the_page_in_place_of_the_whole_one(organization, ada, client):
    asked = approve(client, review_of(organization, "250.00"), headers=HTMX)

    assert (asked.status_code, asked.headers["HX-Retarget"]) == (422, "body")
    assert "hx-" not in asked.content.decode().partition("<body>")[2]


def test_several_at_once_ask_by_what_they_are_together(organization, ada, client):
    reviews = [review_of(organization, amount) for amount in ("110.00", "120.00")]
    ticked = {"kind": "cases.approve", "ticked": [review.case_id for review in reviews]}
    bulk = client.post(reverse("approvals:begin_several"), ticked).headers["Location"]
    code = ReasonCode.objects.filter(organization=organization, verdict="approve").first()

    asked = client.post(f"{bulk}start/", {"reason": "All came back with the same truck.", "code": code.pk})

    assert (asked.status_code, "£230.00 at once" in text_of(asked)) == (422, True)


def test_thresholds_ask_before_they_are_in_force(organization, cast, ada, client):
    from approvals.models import Policy
    from approvals.policies import new_draft_policy

    draft = new_draft_policy(Policy.objects.get(), by=cast.maya, reason="Another limit.")
    cast.tomasz.set_password(PASSWORD)
    cast.tomasz.save()
    client.force_login(cast.tomasz)

    asked = client.post(reverse("approvals:publish_thresholds", args=[draft.pk]), {"why": "It is time."})

    assert "put" in text_of(asked)
    assert "Is it you?" in text_of(asked)
    draft.refresh_from_db()
    assert draft.state == "draft"
