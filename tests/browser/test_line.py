"""The whole line as a person sees it: a running desk, a real browser, and the gateway's own log of effects."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from opsdesk.demo.effects import fetch_effects
from tests.chaos.whole_desk import Replay, WholeDesk

pytestmark = pytest.mark.browser
ENOUGH, PATIENCE_MS = 40, 60_000


def sign_in(browser: Browser, desk: WholeDesk, username: str) -> tuple[Page, list[str]]:
    """A page of this person, and what its console complains about."""
    page = browser.new_context().new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{desk.url}/sign-in/")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", "opsdesk")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_visible()
    return page, complaints


def to_one_that_can_be_approved(page: Page) -> int:
    """Go down the queue with its key to the first case whose purchase is known, and give its number.

    Real requests without a purchase on file wait in the same queue, in an order that depends on who was faster;
    they can only be sent back.
    """
    for _ in range(ENOUGH):
        decide = page.locator("button[id^=approve-]")
        expect(decide).to_be_visible(timeout=PATIENCE_MS)
        name = decide.get_attribute("id") or ""
        if decide.is_enabled():
            return int(name.removeprefix("approve-"))
        page.keyboard.press("j")
        expect(page.locator(f"#{name}")).to_have_count(0)
    raise AssertionError("No case of the queue can be approved.")


def test_a_refund_is_approved_by_mouse_and_one_by_keyboard_and_both_are_seen_at_the_gateway(
    tmp_path: Path, browser: Browser
) -> None:
    with WholeDesk(tmp_path) as desk:
        desk.let_windows_end()
        replay = Replay(desk, tmp_path / "replay.log", count=ENOUGH, seed=7)
        replay.finish(seconds=120)
        desk.come_to_rest(seconds=180)
        page, complaints = sign_in(browser, desk, "ada")

        page.goto(f"{desk.url}/queue/")
        by_mouse = to_one_that_can_be_approved(page)
        page.click(f"#approve-{by_mouse}")
        expect(page.locator(f"#approve-{by_mouse}")).to_have_count(0)
        by_keyboard = to_one_that_can_be_approved(page)
        page.keyboard.press("a")
        expect(page.locator(f"#approve-{by_keyboard}")).to_have_count(0)
        desk.come_to_rest(seconds=120)

        effects = fetch_effects(desk.gateway.url)
        for case in (by_mouse, by_keyboard):
            [(state, key)] = desk.rows(
                "SELECT c.state, a.key FROM workflows_case c JOIN integrations_action a ON a.case_id = c.id"
                " WHERE c.id = %s AND a.state = 'verified'",
                case,
            )
            assert state == "done"
            assert sum(effect["idempotency_key"] == str(key) for effect in effects) == 1
            page.goto(f"{desk.url}/cases/{case}/")
            expect(page.locator("body")).to_contain_text("verified")
        assert complaints == []

        audit, complaints = sign_in(browser, desk, "maya")
        audit.goto(f"{desk.url}/audit/")
        expect(audit.locator("main")).to_contain_text("Ada Okafor")
        expect(audit.locator("main")).to_contain_text(f"CASE-{by_keyboard}")
        assert complaints == []
