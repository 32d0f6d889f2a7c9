"""No two landmarks of a page have the same name: whoever jumps from one to the next hears where they are."""

import html
import re
from collections import Counter

import pytest
from django.urls import reverse

from opsdesk.lib import clock
from tests import factories
from tests.visits import client_of, counted_once, every_url, furnish, quietly
from workflows.models import Decision, OtherDecision
from workflows.states import BulkState, Tier

pytestmark = pytest.mark.django_db
quiet = pytest.fixture(autouse=True)(quietly)
rail = pytest.fixture(autouse=True)(counted_once)
_ALWAYS = {"nav": "navigation", "aside": "complementary", "main": "main"}
_IF_NAMED = {"section": "region", "form": "form"}
_ROLES = {"region", "navigation", "complementary", "main", "form", "search", "banner", "contentinfo"}
_TAG = re.compile(r"<([a-z]+)((?:\s+[\w:@-]+(?:=\"[^\"]*\")?)*)\s*/?>")
_ATTRIBUTE = re.compile(r"([\w:@-]+)=\"([^\"]*)\"")


def landmarks(page: str) -> list[tuple[str, str]]:
    """Role and name of each landmark of a page, the name as a screen reader says it."""
    found = []
    for tag, attributes in _TAG.findall(page):
        held = dict(_ATTRIBUTE.findall(attributes))
        name = held.get("aria-label") or _text_of(page, held.get("aria-labelledby", ""))
        role = held.get("role") or _ALWAYS.get(tag) or (_IF_NAMED.get(tag) if name else None)
        if role in _ROLES:
            found.append((role, " ".join(html.unescape(name).split())))
    return found


def _text_of(page: str, named: str) -> str:
    if not named:
        return ""
    found = re.search(rf'<(\w+)[^>]* id="{named}"[^>]*>(.*?)</\1>', page, re.DOTALL)
    return re.sub(r"<[^>]*>", " ", found[2]) if found else ""


def doubled(page: str) -> dict[tuple[str, str], int]:
    """Landmarks that another one of the page cannot be told from."""
    return {landmark: count for landmark, count in Counter(landmarks(page)).items() if count > 1}


def test_two_of_one_name_are_noticed():
    page = '<section aria-labelledby="a"><h2 id="a">Cases <b>found</b></h2><div role="region" aria-label="Cases found">'

    assert doubled(page) == {("region", "Cases found"): 2}
    assert doubled(page.replace('"Cases found"', '"Newest first"')) == {}


@pytest.mark.parametrize("visitor", ["anonymous", "operator", "admin"])
def test_no_page_has_two_landmarks_of_one_name(visitor):
    organization, members = furnish("ours")
    client = client_of(visitor, members)

    pages = {}
    for url in every_url():
        answer = client.get(url.address(organization))
        if answer.headers.get("Content-Type", "").startswith("text/html") and not url.name.startswith("admin:"):
            pages[url.name] = doubled(answer.content.decode())

    assert {name: found for name, found in pages.items() if found} == {}
    assert len(pages) > (0 if visitor == "anonymous" else 30)


def test_nor_has_one_that_shows_what_was_asked_for():
    """States of pages that nothing leads to by itself: rows found, previews, what is over, a recovery under way."""
    organization, members = furnish("ours")
    client = client_of("admin", members)
    factories.make_alert(organization, cleared_at=clock.now())
    factories.make_reconciliation(organization, recovery=factories.make_recovery(organization))
    preview = factories.make_bulk(organization, members["admin"], count=2, state=BulkState.PREVIEW)
    dry_run = factories.make_dry_run(organization, by=members["admin"], total=1, looked_at=1, milder=1)
    decision = Decision.objects.select_related("case").filter(organization=organization).first()
    OtherDecision.objects.create(
        dry_run=dry_run,
        case=decision.case,
        decision=decision,
        before=Tier.FULL_REVIEW,
        after=Tier.INSTANT,
        words="Less.",
    )
    holds = {
        f"{reverse('search')}?q=141.48": "Cases found",
        f"{reverse('workflows:alerts')}?state=over": "Alerts that are over",
        reverse("workflows:bulk", args=[preview.pk]): "Which",
        reverse("workflows:dry_run", args=[dry_run.pk]): "Decisions that would be others",
        reverse("integrations:recovery"): "Reports",
    }

    for address, name in holds.items():
        page = client.get(address).content.decode()
        assert ("region", name) in landmarks(page), address
        assert "<td" in page, address
        assert doubled(page) == {}, address
