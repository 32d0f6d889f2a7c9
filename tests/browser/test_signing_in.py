"""Signing in as people do: password, an app's codes, and a passkey of Chromium's own virtual authenticator."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import Browser, Page, expect

from accounts import factors
from opsdesk.lib import clock
from tests import factories
from tests.browser.accessible import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "correct horse battery"
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def cast(transactional_db: None) -> factories.Cast:
    cast = factories.make_desk()[1]
    cast.ada.set_password(PASSWORD)
    cast.ada.save()
    return cast


@pytest.fixture
def page(browser: Browser, live_server: Any) -> Iterator[Page]:
    # Passkeys belong to names, never to addresses.
    context = browser.new_context(base_url=live_server.url.replace("127.0.0.1", "localhost"))
    page = context.new_page()
    yield page
    context.close()


def enter_password(page: Page) -> None:
    page.goto("/sign-in/")
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def arrived(page: Page) -> None:
    """On the first page, with all that it asks for: what is still asked when a test ends meets an emptied database."""
    expect(page).to_have_url(re.compile(r"/$"))
    page.wait_for_load_state("networkidle")


def code_of(secret: str, *, steps: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(clock.now().timestamp()) // 30 + steps))


def test_an_app_is_set_up_and_its_codes_sign_in(page: Page, cast: factories.Cast) -> None:
    enter_password(page)
    arrived(page)
    page.get_by_role("link", name="Your account").click()
    page.get_by_role("link", name="Second factors").click()
    assert violations(page) == []
    page.get_by_role("link", name="Set up an authenticator app").click()
    assert violations(page) == []
    secret = page.locator("code").inner_text().replace(" ", "")
    page.get_by_label("Code that the app shows").fill(code_of(secret))
    page.get_by_role("button", name="Set up").click()
    assert len(page.locator("code").all()) == 10
    spare = page.locator("code").first.inner_text()
    assert violations(page) == []
    sign_out(page)

    enter_password(page)
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    assert violations(page) == []
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    page.get_by_label("Code").fill(spare)
    page.get_by_role("button", name="Sign in").click()

    arrived(page)


def test_a_passkey_is_made_and_signs_in_by_itself(page: Page, cast: factories.Cast) -> None:
    chromium = page.context.new_cdp_session(page)
    chromium.send("WebAuthn.enable")
    chromium.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    enter_password(page)
    arrived(page)
    page.goto("/me/factors/passkey/")
    assert violations(page) == []
    page.get_by_label("What to call it").fill("Laptop")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    assert [row.data["name"] for row in factors.of(cast.ada)] == ["Laptop"]
    sign_out(page)

    page.get_by_role("button", name="Use a passkey").click()
    arrived(page)
    sign_out(page)

    enter_password(page)
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    arrived(page)
