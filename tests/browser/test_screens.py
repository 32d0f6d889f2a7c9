"""The pages beside the desk in a real browser: keys, refreshing, plain forms, phones, and what axe finds."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import User
from auditlog.services import Actor, record
from integrations.models import Action, Connection
from integrations.states import ActionState
from opsdesk.lib import clock
from tests import factories
from tests.browser.accessible import violations
from tests.factories import Cast
from tests.opsdesk.lists import make_view
from workflows import replaying
from workflows.models import Replay, Run
from workflows.states import CaseState, EventState, RunState, Tier

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1440, "height": 900}
HOUR = timedelta(hours=1)
PAGES = [
    "/",
    "/stalled/",
    "/runs/",
    "/failures/",
    "/failures/quarantine/",
    "/connections/",
    "/switches/",
    "/audit/",
    "/search/?q=x",
    "/cases/",
    "/views/",
    "/exports/new/?page=cases",
]
Enter = Callable[..., Page]


@pytest.fixture
def desk(transactional_db: None) -> tuple[Any, Cast]:
    """A desk with something of everything on its pages."""
    organization, cast = factories.make_desk()
    factories.make_review(factories.make_case(organization, party_name="Oak & Thimble"), assignee=cast.maya)
    late = factories.make_case(organization, party_name="The Tin Robin")
    factories.make_review(late, assignee=cast.ben, due_at=clock.now() - HOUR)
    leaving = factories.make_case(organization, amount="75.00")
    factories.make_review(leaving, tier=Tier.FAST_TRACK, objection_ends_at=clock.now() + HOUR)
    action = factories.make_action(factories.make_run(factories.make_case(organization)), state=ActionState.UNKNOWN)
    factories.at(action, created_at=clock.now() - HOUR, first_sent_at=clock.now() - HOUR)
    factories.make_call(action.connection, action=action, outcome="transient", message="No answer came.")
    factories.make_open_breaker(action.connection)
    factories.make_window(action.connection)
    factories.make_step_run(action.run, "refund", "act", "waiting", note="Refund is being sent.")
    factories.at(
        factories.make_failure(organization, items=7, message="Ledger refuses the note."), first_at=clock.now() - HOUR
    )
    odd = factories.make_event(organization, b"\x00 not JSON", state=EventState.QUARANTINED)
    factories.at(odd, received_at=clock.now() - HOUR)
    done = factories.make_case(organization, state=CaseState.DONE)
    factories.make_action(factories.make_run(done, state=RunState.SUCCEEDED), state=ActionState.VERIFIED)
    factories.make_event(organization, state=EventState.PROCESSED, case=done)
    make_view(organization, cast.tomasz, page="runs", query="state=waiting", name="Waiting")
    with transaction.atomic():
        record(
            "workflows.case.corrected",
            actor=Actor.person(cast.ada),
            organization_id=organization.pk,
            subject=("case", late.pk),
            case_id=late.pk,
            before={"amount": "14.48"},
            after={"amount": "141.48"},
            reason="A digit was missing.",
        )
    return organization, cast


@pytest.fixture
def cast(desk: tuple[Any, Cast]) -> Cast:
    return desk[1]


@pytest.fixture
def enter(browser: Browser, live_server: Any) -> Iterator[Enter]:
    """Open pages as somebody; at the end no console of any of them has complained."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def enter(user: User, path: str = "/", **options: Any) -> Page:
        context = browser.new_context(**{"base_url": live_server.url, "viewport": WIDE, **options})
        contexts.append(context)
        client = Client()
        client.force_login(user)
        cookie = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    yield enter
    for context in contexts:
        context.close()
    assert complaints == []


def addresses() -> list[str]:
    """Every page, the run with the action, and its connection, which is held."""
    action = Action.objects.filter(state=ActionState.UNKNOWN).get()
    return [*PAGES, f"/runs/{action.run_id}/", f"/connections/{action.connection_id}/"]


def test_axe_finds_nothing_on_any_page(cast, enter):
    # axe writes styles of its own into the page, which the policy would refuse; the next test sees the policy at work.
    page = enter(cast.tomasz, bypass_csp=True)

    found = []
    for address in addresses():
        page.goto(address)
        found += [f"{address} {violation}" for violation in violations(page)]

    assert found == []


@pytest.mark.parametrize("viewport", [PHONE, WIDE])
def test_no_page_is_wider_than_its_window_or_makes_the_console_complain(cast, enter, viewport):
    page = enter(cast.tomasz, viewport=viewport)

    for address in addresses():
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], address


def test_n_takes_the_next_case(cast, enter):
    page = enter(cast.maya)

    page.keyboard.press("n")

    expect(page.get_by_role("heading", name="Oak & Thimble").first).to_be_visible()


def test_home_refreshes_under_the_focus_of_a_person(desk, enter):
    organization, cast = desk
    page = enter(cast.maya)
    page.clock.install()
    page.reload()
    page.keyboard.press("j")
    before = page.evaluate("document.activeElement.id")

    factories.make_review(factories.make_case(organization, party_name="New Ltd"), assignee=cast.maya)
    page.clock.fast_forward(16_000)

    expect(page.locator("#home-desk").get_by_text("New Ltd")).to_be_visible()
    assert before != ""
    expect(page.locator(f"#{before}")).to_be_focused()


def test_a_poll_that_brings_nothing_moves_nothing(cast, enter):
    page = enter(cast.ines, "/stalled/")
    page.clock.install()
    page.reload()

    board = page.locator("#stalled-board")

    def poll() -> int:
        board.evaluate("board => board.dataset.same = 'yes'")
        with page.expect_response(lambda response: response.url.endswith("/stalled/")) as answer:
            page.clock.fast_forward(31_000)
        answer.value.finished()
        page.clock.run_for(1_000)  # what follows the swap
        return answer.value.status

    # The desk's clock stands: ages are shown to the second. The first poll brings the tag of what is shown.
    with time_machine.travel(clock.now(), tick=False):
        assert poll() == 200
        expect(board).not_to_have_attribute("data-same", "yes")
        assert poll() == 304

    expect(board).to_have_attribute("data-same", "yes")


@pytest.mark.parametrize("scripts", [True, False])
def test_runs_are_tried_again_one_then_five_by_plain_buttons(cast, enter, scripts):
    page = enter(cast.maya, "/failures/", java_script_enabled=scripts)

    for count, left in ((1, 6), (5, 1)):
        ladder = page.locator("form.repair").filter(has=page.get_by_role("button", name=f"Replay {count}", exact=True))
        ladder.get_by_label("Reason").fill("The period is open again.")
        ladder.get_by_role("button", name=f"Replay {count}", exact=True).click()
        expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
        expect(page.get_by_text("The period is open again.")).to_have_count(0)

        _replayed_to_its_end()

        if not scripts:
            page.reload()
        expect(page.get_by_text(f"{count} of {count} tried again went on")).to_be_visible()
        assert Run.objects.filter(state=RunState.FAILED).count() == left


def _replayed_to_its_end() -> None:
    """As when workers bring each run that is tried again to its end."""
    while replaying.go_on():
        tried = Run.objects.filter(pk__in=Replay.objects.running().values("run"), state=RunState.READY)
        assert tried.update(state=RunState.SUCCEEDED, ended_at=clock.now(), wake_at=None) == 1


def test_a_failure_is_taken_on_by_its_key(cast, enter):
    page = enter(cast.maya, "/failures/")

    page.keyboard.press("t")

    expect(page.get_by_text("is yours.")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_sending_is_paused_and_resumed_with_a_reason(cast, enter, scripts):
    page = enter(cast.tomasz, "/connections/", java_script_enabled=scripts)

    page.get_by_label("Reason for Gateway").fill("Month end.")
    page.get_by_role("button", name="Pause sending").click()
    expect(page.get_by_text("“Month end.”")).to_be_visible()
    assert not Connection.objects.get().acting_enabled

    page.get_by_label("Reason for Gateway").fill("It is over.")
    page.get_by_role("button", name="Resume sending").click()
    expect(page.get_by_role("button", name="Pause sending")).to_be_visible()
    assert Connection.objects.get().acting_enabled


def test_an_entry_opens_beside_the_log_and_the_list_stays(cast, enter):
    page = enter(cast.ines, "/audit/")

    page.get_by_role("link", name="Ada Okafor corrected the case").click()

    beside = page.locator("#entry-detail")
    expect(beside.get_by_text("A digit was missing.")).to_be_visible()
    expect(beside.get_by_text("14.48", exact=True)).to_be_visible()
    assert page.url.endswith("/audit/")
    expect(page.locator("#entry-rows")).to_be_visible()


def test_without_scripts_an_entry_has_a_page_of_its_own(cast, enter):
    page = enter(cast.ines, "/audit/", java_script_enabled=False)

    page.get_by_role("link", name="Ada Okafor corrected the case").click()

    expect(page.get_by_role("heading", name="Corrected the case")).to_be_visible()
    assert page.url.rstrip("/").rpartition("/")[2].isdigit()


def test_on_a_phone_an_entry_rises_from_below_and_can_be_closed(cast, enter):
    page = enter(cast.ines, "/audit/", viewport=PHONE)
    page.get_by_role("link", name="Ada Okafor corrected the case").click()

    beside = page.locator("#entry-detail")
    expect(beside.get_by_text("A digit was missing.")).to_be_in_viewport()
    beside.get_by_role("link", name="Close").click()

    expect(page.locator("#entry-detail")).to_be_hidden()


def test_filters_swap_the_list_and_stand_in_the_address(cast, enter):
    page = enter(cast.tomasz, "/runs/")

    page.get_by_label("State").select_option("failed")

    expect(page.locator("#run-rows tbody tr")).to_have_count(7)
    expect(page).to_have_url(re.compile("state=failed"))
    page.go_back()
    expect(page.locator("#run-rows tbody tr").first).to_be_visible()
    expect(page).not_to_have_url(re.compile("state=failed"))


def test_the_board_keeps_its_one_button_in_sight_on_a_phone(cast, enter):
    page = enter(cast.maya, "/stalled/", viewport=PHONE)

    for name in ("See its calls", "Open the case", "Take it on", "Read it"):
        button = page.get_by_role("link", name=name).or_(page.get_by_role("button", name=name)).first
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
