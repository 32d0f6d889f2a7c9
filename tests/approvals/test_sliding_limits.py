"""Limits while they are moved: what is shown before anything is kept."""

import re

import pytest

from approvals.drafting import Limits
from approvals.models import Policy
from approvals.views.sliding import tier_of
from auditlog.models import Entry
from tests import factories
from tests.plugins.pages import HTMX, text_of
from workflows.states import Tier

PREVIEW = "/thresholds/preview/"


@pytest.fixture
def tomasz(organization, cast, sign_in):
    """His browser; the limits in force are £50.00 and £100.00, and the line is £0 to £150."""
    factories.published_version(organization)
    for amount in ("10.00", "45.00", "55.00", "95.00", "120.00"):
        factories.make_case(organization, amount=amount)
    return sign_in(cast.tomasz)


def slid(client, moved="instant-at", **asked):
    headers = {**HTMX, "HX-Trigger": moved}
    return client.get(PREVIEW, {"currency": "GBP", **asked}, headers=headers)


def values(answer):
    """The controls that came along, by their ids."""
    found = re.findall(r'<input[^>]*id="([a-z-]+)"[^>]*?value="([^"]*)"', re.sub(r"\s+", " ", answer.content.decode()))
    return dict(found)


@pytest.mark.parametrize(
    ("limits", "minor", "tier"),
    [
        (Limits(4000, 7500), 4000, Tier.INSTANT),
        (Limits(4000, 7500), 4001, Tier.FAST_TRACK),
        (Limits(4000, 7500), 7501, Tier.FULL_REVIEW),
        (Limits(4000, None), 10**9, Tier.FAST_TRACK),
        (Limits(None, None), 10**9, Tier.INSTANT),
        (Limits(0, 0), 1, Tier.FULL_REVIEW),
    ],
)
def test_an_amount_lies_in_one_band(limits, minor, tier):
    assert tier_of(limits, minor) == tier


def test_a_slid_limit_says_what_would_change_and_keeps_nothing(tomasz):
    answer = slid(tomasz, instant_at="60", fast_track="100.00")
    page = answer.content.decode()

    assert (
        "Of 5 past requests 1 would need less consent, by their amount alone. £55.00 would go out without a person."
        in (text_of(answer))
    )
    assert (
        "Instant up to £60.00, fast-track up to £100.00, full review above. In force: instant up to £50.00"
        in text_of(answer)
    )
    assert "<html" not in page and "csrf" not in page
    assert page.count("url(#hatch-moved)") == 1
    assert values(answer) == {"instant": "60.00", "fast-track": "100.00", "fast-track-at": "100.00"}
    assert "announce" in answer.headers["HX-Trigger"]
    assert "HX-Request" in answer.headers["Vary"]
    assert Policy.objects.count() == 1
    assert not Entry.objects.filter(verb="approvals.policy.changed").exists()


def test_the_limit_that_slides_takes_the_other_along_and_ends_in_none(tomasz):
    above = slid(tomasz, instant_at="120", fast_track="100.00")
    below = slid(tomasz, "fast-track-at", fast_track_at="30", instant="50.00")
    end = slid(tomasz, "fast-track-at", fast_track_at="150", instant="50.00")
    typed = slid(tomasz, "instant", instant="20", fast_track="")

    assert values(above)["fast-track"] == "120.00"
    assert values(below)["instant"] == "30.00"
    assert (values(end)["fast-track"], "fast-track above" in text_of(end)) == ("", True)
    assert values(typed) == {"instant-at": "20.00", "fast-track": "", "fast-track-at": "150.00"}
    assert "1 would need more consent" not in text_of(typed)


def test_what_is_no_amount_is_said_and_moves_no_control(tomasz):
    answer = slid(tomasz, "instant", instant="lots", fast_track="100.00")

    assert "is not an amount" in text_of(answer)
    assert values(answer) == {}


def test_without_scripts_the_page_itself_shows_the_moved_limits(tomasz, cast, sign_in):
    page = tomasz.get("/thresholds/", {"currency": "GBP", "instant_at": "60", "fast_track_at": "100"})

    assert "1 would need less consent" in text_of(page)
    assert values(page)["instant"] == "60.00"
    assert tomasz.get(PREVIEW).status_code == 302
    assert slid(tomasz, reason="nowhere").status_code == 404
    assert sign_in(cast.maya).get(PREVIEW).status_code == 403
