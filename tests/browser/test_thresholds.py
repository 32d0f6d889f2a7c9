"""Thresholds in a real browser: a limit moved by keyboard alone, on a phone without scripts, and what axe finds."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import User
from approvals import trials
from approvals.drafting import Limits, move_limits
from approvals.models import Policy
from opsdesk.lib import errands
from tests import factories
from tests.browser.accessible import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Enter = Callable[..., Page]


@pytest.fixture
def admin(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> User:
    """The admin of a desk with a draft, a trial of it, and cases that it would let out."""
    monkeypatch.setattr(errands, "push", lambda name, job, key: None)
    organization, cast = factories.make_desk()
    workflow = factories.published_version(organization).workflow
    for amount in ("12.00", "18.00", "44.00", "55.00", "62.00", "110.00"):
        factories.make_review(factories.make_case(organization, amount=amount))
    scope, told = ("damaged", "", ""), {"by": cast.tomasz, "reason": "Few were wrong"}
    move_limits(workflow, currency="GBP", scope=scope, limits=Limits(2500, 7500), **told)
    draft = move_limits(workflow, currency="GBP", scope=("", "", ""), limits=Limits(7000, 12_000), **told)
    trials.carry_on(trials.ask(draft, by=cast.tomasz).pk)
    return cast.tomasz


@pytest.fixture
def enter(browser: Browser, live_server: Any) -> Iterator[Enter]:
    contexts: list[BrowserContext] = []

    def enter(user: User, **options: Any) -> Page:
        context = browser.new_context(
            **{"base_url": live_server.url, "viewport": {"width": 1440, "height": 900}, **options}
        )
        contexts.append(context)
        client = Client()
        client.force_login(user)
        cookie = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        return context.new_page()

    yield enter
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_is_clear_to_everybody(enter: Enter, admin: User, width: int):
    page = enter(admin, viewport={"width": width, "height": 900})

    page.goto("/thresholds/")

    expect(page.get_by_role("heading", name="Thresholds", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []


def test_a_limit_is_moved_by_keyboard_and_without_scripts(enter: Enter, admin: User):
    page = enter(admin, java_script_enabled=False, viewport={"width": 390, "height": 844})
    page.goto("/thresholds/")

    page.get_by_role("textbox", name="Instant up to").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("30")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("60")
    page.keyboard.press("Tab")
    page.keyboard.type("Too many were wrong")
    page.keyboard.press("Enter")

    expect(page.get_by_text("Saved in the draft.")).to_be_visible()
    expect(page.get_by_text("Instant up to £30.00, fast-track up to £60.00, full review above.")).to_be_visible()
    general = Policy.objects.get(state="draft").thresholds.filter(reason="").order_by("above_minor")
    assert list(general.values_list("above_minor", flat=True)) == [0, 3000, 6000]


def test_a_slider_shows_what_it_would_change_and_is_saved_by_keyboard(enter: Enter, admin: User):
    page = enter(admin)
    page.goto("/thresholds/")
    slider, typed = page.get_by_role("slider", name="Instant up to"), page.get_by_role("textbox", name="Instant up to")
    # The draft has £70.00; a press moves by the step that the page names.
    step = float(slider.get_attribute("step") or 0)

    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")

    expect(typed).to_have_value(f"{70 - 3 * step:.2f}")
    expect(slider).to_be_focused()
    expect(page.locator("#limits-preview")).to_contain_text(f"Instant up to £{70 - 3 * step:.2f}")
    assert page.locator("#limits-preview [fill='url(#hatch-moved)']").count() >= 1
    page.get_by_role("textbox", name="Why").first.fill("Too many were wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved in the draft.")).to_be_visible()
