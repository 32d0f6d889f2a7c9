"""The page of thresholds: bands on a line, limits moved into a draft, tried on past cases, published by another."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.roles import Role
from approvals import trials
from approvals.drafting import Limits, move_limits
from approvals.models import Policy, Trial
from auditlog.models import Entry
from opsdesk.lib import errands
from tests import factories
from tests.approvals.desk import htmx, signed_in
from tests.approvals.thresholds import make_flip, make_trial
from workflows.errors import Unpublishable

pytestmark = pytest.mark.django_db
PAGE = "/thresholds/"


@pytest.fixture(autouse=True)
def idle_jobs(monkeypatch) -> None:
    """No job runs by itself."""
    monkeypatch.setattr(errands, "push", lambda name, job, key: None)


@pytest.fixture
def desk():
    organization, cast = factories.make_desk()
    return organization, cast, factories.published_version(organization).workflow


def move(client, **typed):
    typed = {"currency": "GBP", "instant": "40.00", "fast_track": "75.00", "why": "Measured", **typed}
    return client.post(reverse("approvals:move_limits"), typed)


def limits(policy, **scope):
    rows = policy.thresholds.filter(**{"currency": "GBP", "reason": "", "segment": "", "channel": "", **scope})
    return list(rows.order_by("above_minor").values_list("above_minor", "tier"))


def text(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def test_a_limit_is_moved_into_a_draft_that_decides_nothing(desk):
    cast = desk[1]
    client = signed_in(cast.tomasz)
    live = Policy.objects.get()

    answer = move(client)
    shown = client.get(answer.url)

    draft = Policy.objects.get(state="draft")
    assert answer.status_code == 302
    assert limits(draft) == [(0, "instant"), (4000, "fast_track"), (7500, "full_review")]
    assert limits(live) == [(0, "instant"), (5000, "fast_track"), (10_000, "full_review")]
    assert draft.edited_by == cast.tomasz
    assert "Instant up to £40.00, fast-track up to £75.00, full review above. In force: instant up to £50.00" in text(
        shown
    )
    assert "changed these thresholds last" in text(shown)
    entry = Entry.objects.filter(verb="approvals.policy.changed").get()
    assert (entry.user, entry.reason) == (cast.tomasz, "Measured")
    assert entry.after == {
        "GBP": ["above £0.00: instant", "above £40.00: fast-track", "above £75.00: full review"],
    }


def test_bands_for_some_requests_are_added_and_taken_out(desk):
    client = signed_in(desk[1].tomasz)

    form = client.get(PAGE, {"new": "1"})
    move(client, reason="damaged", instant="10", fast_track="")
    draft = Policy.objects.get(state="draft")
    added = limits(draft, reason="damaged")
    shown = client.get(PAGE, {"reason": "damaged"})
    move(client, reason="damaged", drop="1")

    assert 'name="reason"' in form.content.decode()
    assert added == [(0, "instant"), (1000, "fast_track")]
    assert "Instant up to £10.00, fast-track above." in text(shown)
    assert limits(draft, reason="damaged") == []
    assert len(limits(draft)) == 3


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"instant": "ten"}, "is not an amount"),
        ({"instant": "-1"}, "not below 0"),
        ({"instant": "80", "fast_track": "75"}, "Fast-track cannot end below the limit for instant."),
        ({"why": ""}, "This field is required"),
        ({"currency": "XXX"}, "What was typed cannot be kept"),
        ({"drop": "1"}, "The bands for all requests stay."),
    ],
)
def test_what_cannot_be_a_limit_is_refused_in_place(desk, typed, says):
    answer = move(signed_in(desk[1].tomasz), **typed)

    assert answer.status_code == 422
    assert says in text(answer)
    assert not Policy.objects.filter(state="draft").exists()


def test_the_second_person_publishes_what_the_page_showed(desk):
    organization, cast = desk[:2]
    first = Policy.objects.get()
    mara = factories.make_member(organization, "mara", Role.ADMIN)
    move(signed_in(cast.tomasz))
    draft = Policy.objects.get(state="draft")
    url = reverse("approvals:publish_thresholds", args=[draft.pk])
    seen = signed_in(mara).get(PAGE).context["seen"]

    herself = signed_in(cast.tomasz).post(url, {"why": "Mine", "seen": seen})
    unseen = signed_in(mara).post(url, {"why": "Fine", "seen": "else"})
    mute = signed_in(mara).post(url, {"seen": seen})
    done = signed_in(mara).post(url, {"why": "Read and agreed", "seen": seen})
    back = signed_in(mara).post(reverse("approvals:revert_thresholds", args=[first.pk]), {"why": "Back"})

    assert [each.status_code for each in (herself, unseen, mute, done, back)] == [409, 409, 409, 302, 302]
    assert "changed these thresholds last" in text(herself)
    assert "is not what you looked at" in text(unseen)
    assert "Say why" in text(mute)
    draft.refresh_from_db()
    assert (draft.state, draft.published_by) == ("published", mara)
    again = Policy.objects.get(state="draft")
    assert limits(again) == limits(first)
    gone = signed_in(mara).post(reverse("approvals:discard_thresholds", args=[again.pk]), {"why": "Not yet"})
    assert gone.status_code == 302
    assert not Policy.objects.filter(state="draft").exists()


def test_a_draft_is_tried_and_the_worst_cases_stand_on_the_page(desk):
    organization, cast = desk[:2]
    client = signed_in(cast.tomasz)
    move(client, instant="200", fast_track="300")
    draft = Policy.objects.get(state="draft")
    case = factories.make_case(organization, amount="110.00")
    factories.make_review(case)

    asked = client.post(reverse("approvals:try_thresholds", args=[draft.pk]))
    trial = Trial.objects.get()
    running = client.get(PAGE).content.decode()
    trials.carry_on(trial.pk)
    found = client.get(PAGE)
    sums = client.get(reverse("approvals:trial_sums", args=[trial.pk]), **htmx("trial-sums"))
    bare = client.get(reverse("approvals:trial_sums", args=[trial.pk]))
    page = client.get(reverse("approvals:trial", args=[trial.pk]))

    assert asked.status_code == 302
    assert "<progress" in running
    assert "data-poll" in running
    assert "+£110.00" in text(found)
    assert str(case) in text(found)
    assert "not decided yet" in text(found)
    assert "<html" not in sums.content.decode()
    assert "<progress" not in sums.content.decode()
    assert bare.url == reverse("approvals:trial", args=[trial.pk])
    assert "within the limit of £200.00 for instant" in text(page)


def test_a_desk_without_thresholds_says_so(db):
    organization = factories.make_organization()
    client = signed_in(factories.make_member(organization, "mara", Role.ADMIN))

    assert "There are no thresholds yet" in text(client.get(PAGE))
    assert move(client).status_code == 409


def test_the_page_costs_the_same_however_many_bands_and_cases_there_are(desk):
    organization, cast, workflow = desk
    client = signed_in(cast.tomasz)
    move(client)
    trial = make_trial(organization, by=cast.tomasz, moves={"full_review>instant": 1}, total=1, looked_at=1)

    def cost():
        with CaptureQueriesContext(connection) as captured:
            client.get(PAGE)
        return len(captured)

    client.get(PAGE)
    few = cost()
    for place in range(3):
        zero = Limits(0, 0)
        move_limits(workflow, currency="GBP", scope=(f"r{place}", "", ""), limits=zero, by=cast.tomasz, reason="More")
        case = factories.make_case(organization, amount="110.00")
        factories.make_review(case)
        make_flip(trial, case)

    assert cost() == few
    assert few <= 30


@pytest.mark.parametrize(
    ("found", "bands"),
    [
        (Limits(5000, 10_000), [(0, "instant"), (5000, "fast_track"), (10_000, "full_review")]),
        (Limits(0, 10_000), [(0, "fast_track"), (10_000, "full_review")]),
        (Limits(5000, 5000), [(0, "instant"), (5000, "full_review")]),
        (Limits(0, 0), [(0, "full_review")]),
        (Limits(5000, None), [(0, "instant"), (5000, "fast_track")]),
        (Limits(None, None), [(0, "instant")]),
    ],
)
def test_limits_and_bands_say_the_same(desk, found, bands):
    assert found.bands() == bands
    policy = move_limits(
        desk[2], currency="GBP", scope=("", "", ""), limits=found, by=desk[1].tomasz, reason="There and back"
    )
    assert Limits.of(list(policy.thresholds.filter(currency="GBP"))) == found


def test_a_second_limit_below_the_first_is_none():
    for wrong in (Limits(10, 5), Limits(None, 5)):
        with pytest.raises(Unpublishable):
            wrong.check()
