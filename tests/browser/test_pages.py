"""Every page of every address in a real browser: its policy, its console, narrow windows, and axe in both themes.

Every page of the desk is looked at. The admin has more pages than kinds of pages: those that the same templates made,
down to each widget, differ in words alone, so one of each kind is looked at.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page

from accounts.models import Organization, User
from tests.browser.accessible import violations
from tests.visits import client_of, counted_once, every_url, furnish

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WIDE, ZOOMED, PHONE = ({"width": width, "height": 900} for width in (1440, 720, 390))
# Who reads which pages: those of the desk, or those of the admin.
READERS = [("anonymous", False), ("manager", False), ("admin", True)]
Desk = tuple[Organization, dict[str, User]]
Templates = frozenset[str]
Enter = Callable[..., Page]


rail = pytest.fixture(autouse=True)(counted_once)


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return furnish("wholesale-uk")


@pytest.fixture
def enter(browser: Browser, live_server: Any) -> Iterator[Enter]:
    """Open a page as somebody; `page.complaints` holds what its console and its policy say."""
    contexts: list[BrowserContext] = []

    def enter(user: User | None, **options: Any) -> Page:
        context = browser.new_context(**{"base_url": live_server.url, "viewport": WIDE, **options})
        contexts.append(context)
        if user is not None:
            client = Client()
            client.force_login(user)
            cookie = client.cookies["sessionid"].value
            context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        page = context.new_page()
        said: list[str] = []
        page.complaints = said  # type: ignore[attr-defined]
        page.on("console", lambda told: said.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        context.expose_function("refused", lambda what: said.append(f"The policy refused {what}."))
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => refused(`${e.violatedDirective} ${e.blockedURI}`))"
        )
        return page

    yield enter
    for context in contexts:
        context.close()


def readable(desk: Desk, visitor: str, *, admin: bool = False) -> dict[str, Templates]:
    """The addresses of all whole pages that this visitor can read, and the templates that made each."""
    organization, members = desk
    client = client_of(visitor, members)
    addresses = [url.address(organization) for url in every_url() if url.route.startswith("admin/") == admin]
    answers = {address: client.get(address) for address in addresses}
    return {
        address: frozenset(template.name or "" for template in answer.templates)
        for address, answer in answers.items()
        if answer.status_code == 200 and b"<html" in answer.content
    }


def one_of_each_kind(pages: dict[str, Templates]) -> list[str]:
    """The first of the pages that the same templates made."""
    kinds: dict[Templates, str] = {}
    for address, templates in pages.items():
        kinds.setdefault(templates, address)
    return list(kinds.values())


@pytest.mark.parametrize(("visitor", "admin"), READERS)
def test_no_page_breaks_its_policy_complains_or_is_wider_than_its_window(desk, enter, visitor, admin):
    page = enter(desk[1].get(visitor))
    pages = readable(desk, visitor, admin=admin)
    addresses = one_of_each_kind(pages) if admin else list(pages)
    assert addresses

    wrong = {}
    for address in addresses:
        page.set_viewport_size(PHONE)
        page.goto(address)
        found = [f"wider than {PHONE['width']}"] if is_too_wide(page) else []
        page.set_viewport_size(ZOOMED)
        found += [f"wider than {ZOOMED['width']}"] if is_too_wide(page) else []
        wrong[address] = found + page.complaints
        page.complaints.clear()

    assert not {address: found for address, found in wrong.items() if found}


def is_too_wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.mark.parametrize(("visitor", "admin"), READERS)
def test_axe_finds_nothing_in_either_theme(desk, enter, visitor, admin):
    # axe writes styles of its own into the page, which the policy would refuse.
    page = enter(desk[1].get(visitor), bypass_csp=True)
    pages = readable(desk, visitor, admin=admin)
    addresses = one_of_each_kind(pages) if admin else list(pages)
    assert addresses

    found = []
    for address in addresses:
        page.goto(address)
        found += [f"{address} {violation}" for violation in violations(page)]

    assert not found, "\n".join(found)
