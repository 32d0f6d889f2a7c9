"""Taking cases without the mouse: by keys on a desk, by thumb on a phone, two people side by side."""

from statistics import median
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from approvals import claims
from approvals.models import Claim, Review, Vote
from tests.browser.test_desk import PHONE, enter, shows, waiting
from tests.factories import Cast, make_desk

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def desk(transactional_db: None) -> tuple[Any, Cast]:
    return make_desk()


@pytest.fixture
def cast(desk: tuple[Any, Cast]) -> Cast:
    return desk[1]


@pytest.fixture
def reviews(desk: tuple[Any, Cast]) -> list[Review]:
    """Four reviews in the order of the list."""
    return [waiting(desk[0], number) for number in range(1, 5)]


@pytest.fixture
def queue(context: BrowserContext, live_server: Any, cast: Cast, reviews: list[Review]) -> Page:
    """Ada at the queue with its first case opened."""
    page = enter(context, live_server, cast.ada)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{live_server.url}/queue/")
    shows(page, reviews[0])
    return page


def held_by(review: Review) -> Any:
    claim = Claim.objects.filter(review=review).first()
    return claim.holder if claim else None


def test_n_takes_the_next_case_and_deciding_takes_the_one_after_it(queue, reviews, cast):
    claims.claim(reviews[0].pk, by=cast.ben)

    queue.keyboard.press("n")
    shows(queue, reviews[1])
    expect(queue.locator("#held")).to_contain_text("you have it open")
    queue.keyboard.press("a")

    shows(queue, reviews[2])
    expect(queue.locator("#held")).to_contain_text("you have it open")
    assert [held_by(review) for review in reviews[:3]] == [cast.ben, None, cast.ada]
    queue.clock.run_for(21_000)
    expect(queue.locator("#held")).to_contain_text("you have it open")
    expect(queue.locator(f"#queue-held-{reviews[0].pk}")).to_contain_text("Ben Marsh has it open")
    queue.keyboard.press("k")
    queue.keyboard.press("k")
    shows(queue, reviews[0])
    expect(queue.locator(".act")).to_contain_text("Ben Marsh has it open since")
    queue.keyboard.press("a")  # there is nothing to press
    queue.keyboard.press("t")

    expect(queue.locator("#held")).to_contain_text("you have it open")
    assert held_by(reviews[0]) == cast.ada
    assert list(Vote.objects.values_list("review", flat=True)) == [reviews[1].pk]
    assert queue.complaints == []  # type: ignore[attr-defined]


def test_a_phone_takes_decides_and_goes_on(browser: Browser, live_server: Any, reviews, cast):
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    phone = enter(context, live_server, cast.ada)
    phone.goto(f"{live_server.url}/queue/")

    phone.locator("#take-next").tap()
    shows(phone, reviews[0])
    phone.locator("[data-decides].primary").tap()
    shows(phone, reviews[1])
    phone.get_by_role("button", name="More actions").tap()
    phone.locator("#more-actions [value=reject]").tap()
    shows(phone, reviews[2])

    assert list(Vote.objects.order_by("pk").values_list("verdict", flat=True)) == ["approve", "reject"]
    assert held_by(reviews[2]) == cast.ada
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert phone.complaints == []  # type: ignore[attr-defined]
    context.close()


@pytest.mark.long
def test_two_hundred_cases_are_decided_by_keys_alone_none_missed_and_none_twice(
    context: BrowserContext, live_server: Any, desk: tuple[Any, Cast]
):
    many = [waiting(desk[0], number) for number in range(200)]
    page = enter(context, live_server, desk[1].ada)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{live_server.url}/queue/")
    shows(page, many[0])
    page.keyboard.press("n")
    took = []
    for place, review in enumerate(many):
        expect(page.locator("#opened")).to_have_attribute("data-case", str(review.case_id))
        expect(page.locator("#held")).to_contain_text("you have it open")
        with page.expect_response(lambda answer: answer.url.split("?")[0].endswith("/decide/")) as answered:
            page.keyboard.press("r" if place % 3 == 2 else "a")
        assert answered.value.status == 200
        timing = answered.value.request.timing
        took.append(timing["responseStart"] - timing["requestStart"])
    expect(page.get_by_text("Nothing waits for a person")).to_be_visible()

    votes = list(Vote.objects.order_by("pk").values_list("review", "verdict"))
    assert votes == [(each.pk, "reject" if place % 3 == 2 else "approve") for place, each in enumerate(many)]
    assert median(took) < 400, f"{median(took):.0f} ms at the middle, {max(took):.0f} ms at most"
