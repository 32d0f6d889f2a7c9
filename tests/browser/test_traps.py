"""What a browser could be led into: refused clicks, pages within pages, remains after signing out, harm in text."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from accounts.models import Session, User
from approvals.models import Claim
from tests import factories
from tests.browser.payloads import CORPUS
from tests.browser.test_pages import readable
from tests.plugins.line import Line
from tests.test_hostile import suffered
from tests.visits import furnish
from workflows.models import Case

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Enter = Callable[..., Page]
# What leaves the page: the way out, and what only the browser itself answers.
CONTROLS = "main :is(button, [hx-get], [hx-post], summary):visible"
# A page, or the form of the sign-in, that was put into a page.
WITHIN = "main main, main nav.nav, main form[action*='sign-in'], body body"


@pytest.fixture
def enter(browser: Browser, live_server: Any) -> Iterator[Enter]:
    """Open pages as somebody who is signed in."""
    contexts: list[BrowserContext] = []

    def enter(user: User, **options: Any) -> Page:
        context = browser.new_context(**{"base_url": live_server.url, **options})
        contexts.append(context)
        client = Client()
        client.force_login(user)
        cookie = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        return context.new_page()

    yield enter
    for context in contexts:
        context.close()


def test_a_button_pressed_after_the_session_ended_leads_to_the_sign_in_and_swaps_nothing(
    transactional_db: None, enter: Enter
):
    organization, cast = factories.make_desk()
    review = factories.make_review(factories.make_case(organization), assignee=cast.ada)
    page = enter(cast.ada)
    page.goto(f"/queue/?case={review.case_id}")
    Session.objects.all().delete()

    page.locator("#take-next").click()

    page.wait_for_url("**/sign-in/**")
    expect(page.locator("input[name=username]")).to_be_visible()
    assert page.locator("main main, body body, form form").count() == 0
    assert not Claim.objects.exists()


def test_signing_out_leaves_nothing_behind(transactional_db: None, enter: Enter):
    organization, cast = factories.make_desk()
    case = factories.make_case(organization, party_name="Canary Lane")
    factories.make_review(case, assignee=cast.ada)
    page = enter(cast.ada)
    page.goto("/queue/")
    page.locator("[data-row]").first.click()
    page.goto(f"/cases/{case.pk}/")
    expect(page.get_by_text("Canary Lane").first).to_be_visible()

    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url("**/sign-in/**")

    kept = page.evaluate(
        "async () => [...Object.values(localStorage), ...Object.values(sessionStorage), ...(await caches.keys())]"
    )
    assert kept == []
    for _ in range(3):
        page.go_back()
        page.wait_for_load_state()
        assert "Canary" not in page.content()
        assert "sign-in" in page.url or page.url == "about:blank"


def opened(page: Page, address: str) -> bool:
    """Whether the address opens; what the control before it led to may still be on its way, and come in between."""
    for _ in range(5):
        try:
            answer = page.goto(address)
        except Error:
            page.wait_for_load_state()
        else:
            return answer is not None and answer.status == 200
    raise AssertionError(f"{address} does not open")


@pytest.mark.long
def test_no_control_of_any_page_is_refused_or_puts_a_page_into_a_page(transactional_db: None, enter: Enter):
    desk = furnish("wholesale-uk")
    addresses = readable(desk, "manager")
    page = enter(desk[1]["manager"], viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(30_000)
    answers: list[str] = []
    page.on("response", lambda told: answers.append(told.url) if told.status == 403 else None)

    wrong, clicked = [], 0
    for address in addresses:
        opened(page, address)
        for place in range(min(page.locator(CONTROLS).count(), 30)):
            if not opened(page, address) or page.locator(CONTROLS).count() <= place:
                break
            control = page.locator(CONTROLS).nth(place)
            what = control.evaluate("each => each.outerHTML.slice(0, 160)")
            if not control.is_enabled():
                continue
            control.dispatch_event("click")
            page.wait_for_timeout(150)
            page.wait_for_load_state()
            within, clicked = page.locator(WITHIN).count(), clicked + 1
            wrong += [f"{address} {what}: {answers}"] if answers else []
            wrong += [f"{address} {what}: a page within the page"] if within else []
            answers.clear()

    assert not wrong, "\n".join(wrong)
    assert clicked > 100


@pytest.mark.long
def test_no_text_of_others_acts_in_a_browser(committed_line: Line, enter: Enter, live_server: Any):
    line, ours = committed_line, urlsplit(live_server.url).netloc
    # Some of it in every place where people and systems write, all of it in what requests say.
    suffered(line, " ".join(CORPUS[::9]))
    for text in CORPUS:
        line.ask("141.48", reference=text, customer=text, reason=text)
    line.work()
    members = {"manager": line.cast.maya, "admin": line.cast.tomasz}
    page = enter(line.cast.maya, bypass_csp=True)
    page.set_default_timeout(30_000)
    sprung: list[str] = []
    page.on("dialog", lambda dialog: (sprung.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on(
        "request",
        lambda asked: (
            sprung.append(f"asked {asked.url}")
            if asked.url.startswith("http") and urlsplit(asked.url).netloc != ours
            else None
        ),
    )

    found, opened = {}, 0
    cases = [f"/cases/{pk}/" for pk in Case.objects.values_list("pk", flat=True)]
    for address in [*cases, *readable((line.organization, members), "manager")]:
        page.goto(address)
        opened += 1
        if page.evaluate("Boolean(window.__xss) || document.querySelector('[hx-get*=evil], #evil, base') !== null"):
            sprung.append("the trap")
        if sprung:
            found[address] = list(sprung)
            sprung.clear()

    assert not found
    assert opened > len(CORPUS)
    assert len(CORPUS) > 100
