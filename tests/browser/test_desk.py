"""The desk in a real browser: keys, focus, what moves and what does not, phones, and pages without scripts."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import User
from approvals import services
from approvals.models import ReasonCode, Review, Vote
from approvals.services import Rationale
from approvals.states import ReviewState, Verdict
from approvals.timers import settle
from opsdesk.lib import clock
from tests.browser.accessible import violations
from tests.factories import Cast, make_case, make_desk, make_payment, make_review, make_run
from workflows.facts import known
from workflows.models import Case
from workflows.states import RunState, Tier

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def desk(transactional_db: None) -> tuple[Any, Cast]:
    return make_desk()


@pytest.fixture
def cast(desk: tuple[Any, Cast]) -> Cast:
    return desk[1]


def waiting(organization: Any, number: int, **fields: Any) -> Review:
    """The number-th review in the queue, with everything the page shows."""
    case = make_case(organization, party_name=f"Customer no {number}", amount=f"{100 + number}.50", **fields)
    facts = {
        "payment.captured": known(50_000, "gateway", clock.now()),
        "payment.refunded": known(0, "gateway", clock.now()),
        "order.on_file": known(False, "shop", clock.now()),
    }
    make_run(case, state=RunState.WAITING, facts=facts)
    make_payment(case)
    return make_review(case, due_at=clock.now() + timedelta(hours=1, minutes=number))


@pytest.fixture
def reviews(desk: tuple[Any, Cast]) -> list[Review]:
    """Six reviews in the order of the list."""
    return [waiting(desk[0], number) for number in range(1, 7)]


def enter(context: BrowserContext, live_server: Any, user: User) -> Page:
    """A page on which the person is signed in; it collects what the console complains about."""
    client = Client()
    client.force_login(user)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page = context.new_page()
    page.complaints = []  # type: ignore[attr-defined]
    page.on("console", lambda said: _note(page, said.type, said.text))
    page.on("pageerror", lambda error: _note(page, "error", str(error)))
    page.clock.install()
    return page


def _note(page: Page, kind: str, text: str) -> None:
    # Refusals (409) and missing reasons (422) are answers, though the browser counts them as failed loads.
    if kind in ("error", "warning") and "409" not in text and "422" not in text:
        page.complaints.append(text)  # type: ignore[attr-defined]


@pytest.fixture
def page(context: BrowserContext, live_server: Any, cast: Cast) -> Iterator[Page]:
    """Ada at the desk; at the end the console must have been silent."""
    opened = enter(context, live_server, cast.ada)
    opened.set_viewport_size({"width": 1440, "height": 900})
    yield opened
    assert opened.complaints == []  # type: ignore[attr-defined]


@pytest.fixture
def queue(page: Page, live_server: Any, reviews: list[Review]) -> Page:
    """The queue with its first case opened."""
    page.goto(f"{live_server.url}/queue/")
    shows(page, reviews[0])
    return page


def shows(page: Page, review: Review) -> None:
    """Wait until the case is the opened one, in evidence and list."""
    expect(page.locator("#opened h1")).to_have_text(Case.objects.get(pk=review.case_id).who)
    if page.locator(f"#queue-row-{review.pk}").count():
        expect(page.locator(f"#queue-row-{review.pk}")).to_have_attribute("aria-current", "true")
    assert page.locator("#queue-rows [aria-current]").count() <= 1


def approved_by(user: User, review: Review) -> None:
    code = ReasonCode.objects.get(code="goods-returned")
    services.decide(review.pk, voter=user, verdict=Verdict.APPROVE, rationale=Rationale(code), seen=review.content_hash)


def test_a_queue_is_worked_off_by_keys_alone_none_missed_and_none_twice(queue, reviews, cast):
    for place, review in enumerate(reviews):
        shows(queue, review)
        queue.keyboard.press("r" if place % 2 else "a")
    expect(queue.get_by_text("Nothing waits for a person")).to_be_visible()

    votes = list(Vote.objects.order_by("pk").values_list("review", "verdict", "voter"))
    assert votes == [
        (review.pk, "reject" if place % 2 else "approve", cast.ada.pk) for place, review in enumerate(reviews)
    ]


def test_j_and_k_walk_through_the_list_and_the_row_keeps_the_focus(queue, reviews):
    queue.keyboard.press("j")
    shows(queue, reviews[1])
    queue.keyboard.press("j")
    shows(queue, reviews[2])
    queue.keyboard.press("k")
    shows(queue, reviews[1])

    expect(queue.locator(f"#queue-row-{reviews[1].pk}")).to_be_focused()
    expect(queue).to_have_url(re.compile(rf"/queue/\?case={reviews[1].case_id}$"))


def test_going_back_shows_the_case_before(queue, reviews):
    queue.keyboard.press("j")
    shows(queue, reviews[1])
    queue.keyboard.press("j")
    shows(queue, reviews[2])

    queue.go_back()

    shows(queue, reviews[1])


def test_a_number_chooses_the_reason_and_the_button_says_which(queue, reviews):
    expect(queue.locator("[data-named=approve]")).to_have_text("Goods came back")

    queue.keyboard.press("2")
    expect(queue.locator("[data-named=approve]")).to_have_text("Goodwill")
    queue.keyboard.press("a")

    expect(queue.locator("#rationale-error")).to_have_text("Say why, in at least 10 characters.")
    expect(queue.locator("#rationale")).to_be_focused()
    assert not Vote.objects.exists()


def test_enter_in_a_field_decides_nothing(queue, reviews):
    asked: list[str] = []
    queue.on("request", lambda request: asked.append(request.method))
    queue.keyboard.press("l")
    queue.locator("#lesser").fill("20")
    queue.keyboard.press("Enter")
    queue.locator("#decide [type=radio]").first.focus()
    queue.keyboard.press("Enter")

    queue.locator("#decide [value=less]").click()

    shows(queue, reviews[1])
    assert asked.count("POST") == 1
    assert Vote.objects.count() == 1


def test_after_a_click_the_heading_of_the_next_case_has_the_focus_and_it_is_read_out(queue, reviews):
    queue.locator("[data-decides].primary").click()
    shows(queue, reviews[1])

    queue.wait_for_function("document.activeElement.tagName === 'H1'")
    queue.clock.run_for(200)
    expect(queue.locator("#announcer")).to_contain_text("Next: Customer no 2, £102.50.")


def test_a_double_click_decides_once(queue, reviews):
    queue.locator("[data-decides].primary").dblclick()
    shows(queue, reviews[1])
    queue.wait_for_load_state("networkidle")

    assert Vote.objects.count() == 1


def test_u_takes_the_last_decision_back(queue, reviews):
    queue.keyboard.press("a")
    shows(queue, reviews[1])
    expect(queue.locator(".toast")).to_contain_text("Undo")

    queue.keyboard.press("u")

    shows(queue, reviews[0])
    expect(queue.locator(".toast")).to_contain_text("is open again")
    assert Review.objects.get(pk=reviews[0].pk).state == ReviewState.OPEN


def test_the_way_back_leaves_the_page_when_it_is_over(queue, reviews):
    queue.keyboard.press("a")
    shows(queue, reviews[1])

    queue.clock.run_for(11_000)

    expect(queue.locator(".toast")).to_have_count(0)


def test_keys_rest_while_somebody_types(queue, reviews):
    queue.locator("#rationale").click()
    queue.keyboard.type("a rare thing")

    shows(queue, reviews[0])
    assert not Vote.objects.exists()


def test_new_cases_are_offered_and_nothing_moves(queue, reviews, desk):
    queue.locator("#rationale").click()
    before = queue.locator(".qrow").evaluate_all("rows => rows.map(row => row.getBoundingClientRect().top)")
    waiting(desk[0], 0)

    queue.clock.run_for(6_000)
    offer = queue.get_by_role("link", name="Show 1 new case")
    expect(offer).to_be_visible()

    after = queue.locator(".qrow").evaluate_all("rows => rows.map(row => row.getBoundingClientRect().top)")
    assert before == after
    expect(queue.locator("#rationale")).to_be_focused()
    offer.click()
    expect(queue.locator(".qrow")).to_have_count(7)
    shows(queue, reviews[0])


def test_what_a_colleague_decided_is_marked_in_the_list_and_offered_in_the_case(queue, reviews, cast):
    approved_by(cast.ben, reviews[0])

    queue.clock.run_for(2_500)

    expect(queue.locator(f"#queue-row-{reviews[0].pk}")).to_contain_text("Approved by Ben Marsh")
    expect(queue.locator("#case-news")).to_contain_text("Ben Marsh voted to approve the review")
    expect(queue.locator(".qrow")).to_have_count(6)


def test_a_lost_race_is_told_where_the_button_was(queue, reviews, cast):
    approved_by(cast.ben, reviews[0])

    queue.keyboard.press("r")

    expect(queue.get_by_role("alert").first).to_contain_text("Already approved by Ben Marsh, ")
    assert list(Vote.objects.values_list("voter", flat=True)) == [cast.ben.pk]


def test_filters_stay_in_the_address_and_typing_goes_on_over_a_swap(queue, reviews):
    reference = reviews[3].case.key
    queue.get_by_text("Filter", exact=True).click()
    queue.locator("#id_text").press_sequentially(reference)
    queue.clock.run_for(1_000)
    expect(queue.locator(".qrow")).to_have_count(1)
    queue.keyboard.type("x")
    queue.clock.run_for(1_000)
    expect(queue.get_by_text("No case fits these filters")).to_be_visible()

    assert queue.locator("#id_text").input_value() == f"{reference}x"
    expect(queue).to_have_url(re.compile(f"text={reference}x"))
    expect(queue).to_have_url(re.compile(f"case={reviews[0].case_id}"))


def test_after_narrowing_a_decision_goes_on_in_the_narrowed_list(queue, reviews):
    queue.get_by_text("Filter", exact=True).click()
    queue.locator("#id_least").fill("103.50")
    queue.clock.run_for(1_000)
    expect(queue.locator(".qrow")).to_have_count(4)
    queue.evaluate("document.activeElement.blur()")

    queue.keyboard.press("a")

    shows(queue, reviews[2])
    expect(queue.locator(".qrow")).to_have_count(4)
    expect(queue.locator("#queue-views")).to_contain_text("All 4")
    assert Review.objects.get(pk=reviews[0].pk).state == ReviewState.APPROVING


def test_a_page_that_only_watches_follows_the_case(page, live_server, desk, cast):
    review = waiting(desk[0], 1)
    page.goto(f"{live_server.url}/cases/{review.case_id}/")
    page.keyboard.press("a")
    expect(page.locator(".act")).to_contain_text("Approved by Ada Okafor")
    Review.objects.filter(pk=review.pk).update(settles_at=clock.now())

    settle(review.pk)
    page.clock.run_for(3_000)

    expect(page.locator(".tl")).to_contain_text("Granted the authorization")


def test_a_number_objects_to_what_leaves(page, live_server, desk):
    ends = clock.now() + timedelta(minutes=9)
    cards = [
        make_review(make_case(desk[0]), tier=Tier.FAST_TRACK, objection_ends_at=ends + timedelta(minutes=number))
        for number in range(2)
    ]
    page.goto(f"{live_server.url}/leaving/")

    page.keyboard.press("2")

    expect(page.locator(f"#leave-{cards[1].pk}")).to_contain_text("it waits for people")
    assert Review.objects.get(pk=cards[0].pk).tier == Tier.FAST_TRACK
    assert Review.objects.get(pk=cards[1].pk).tier == Tier.FULL_REVIEW


def test_on_a_phone_the_list_opens_a_case_and_the_next_one_follows(page, live_server, reviews):
    page.set_viewport_size(PHONE)
    page.goto(f"{live_server.url}/queue/")
    expect(page.locator("#queue")).to_be_visible()
    expect(page.locator("#opened .case-head")).to_have_count(0)

    page.locator(".qrow").nth(1).click()
    shows(page, reviews[1])
    expect(page.locator("#queue")).to_be_hidden()
    page.locator("[data-decides].primary").click()
    shows(page, reviews[2])
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("button", name="Reject").click()
    shows(page, reviews[3])

    assert list(Vote.objects.order_by("pk").values_list("review", flat=True)) == [reviews[1].pk, reviews[2].pk]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def plain(browser: Browser, live_server: Any, cast: Cast) -> Iterator[Page]:
    """Ada in a browser without scripts."""
    with browser.new_context(java_script_enabled=False) as context:
        client = Client()
        client.force_login(cast.ada)
        cookie = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        yield context.new_page()


def test_without_scripts_everything_works_by_links_and_forms(plain, live_server, reviews):
    plain.goto(f"{live_server.url}/queue/?view=all&least=1")
    plain.get_by_role("link", name="Open the first case").click()
    expect(plain.locator("#opened h1")).to_have_text("Customer no 1")
    plain.locator("[data-decides].primary").click()
    expect(plain.locator("#opened h1")).to_have_text("Customer no 2")
    expect(plain).to_have_url(re.compile("least=1"))
    plain.get_by_role("button", name="Undo").click()
    expect(plain.locator("#opened h1")).to_have_text("Customer no 1")
    plain.get_by_role("button", name="Escalate").click()
    expect(plain.locator("#opened h1")).to_have_text("Customer no 2")

    assert Vote.objects.get().withdrawn_at is not None
    assert Review.objects.get(pk=reviews[0].pk).escalated_at is not None


@pytest.mark.parametrize("width", [1440, 390])
def test_every_page_of_the_desk_is_accessible(context, live_server, desk, cast, reviews, width):  # noqa: PLR0917
    organization = desk[0]
    ends = clock.now() + timedelta(minutes=9)
    make_review(make_case(organization), tier=Tier.FAST_TRACK, objection_ends_at=ends)
    make_review(make_case(organization), tier=Tier.FAST_TRACK)
    Review.objects.filter(pk=reviews[0].pk).update(due_at=clock.now() - timedelta(minutes=48))
    page = enter(context, live_server, cast.maya)
    page.set_viewport_size({"width": width, "height": 900})

    found = []
    first, second = reviews[1].case_id, reviews[2].case_id
    for path in ("/queue/", f"/queue/?case={first}", f"/cases/{second}/", "/leaving/", "/escalations/"):
        page.goto(live_server.url + path)
        page.wait_for_load_state("networkidle")
        found += [f"{path} {violation}" for violation in violations(page)]

    assert found == []
    assert page.complaints == []
