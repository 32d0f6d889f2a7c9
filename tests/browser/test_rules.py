"""Conditions by drop-downs in a real browser: only what fits is offered, and without scripts the form still works."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import User
from integrations import facts as _declared  # noqa: F401 - declares the catalogue
from tests import factories
from workflows.models import Rule, RuleSet
from workflows.publishing import new_draft_rules

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PHONE = {"width": 390, "height": 844}
Enter = Callable[..., Page]


@pytest.fixture
def rule(transactional_db: None) -> Rule:
    """The first rule of a draft: no order on file."""
    organization, _ = factories.make_desk()
    factories.published_version(organization)
    draft = new_draft_rules(RuleSet.objects.get(state="published"), by=None, reason="To be edited")
    return draft.rules.get(name="No order on file")


@pytest.fixture
def enter(browser: Browser, live_server: Any) -> Iterator[Enter]:
    """Open a page as Tomasz; at the end no console has complained."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def enter(path: str, **options: Any) -> Page:
        context = browser.new_context(base_url=live_server.url, **options)
        contexts.append(context)
        client = Client()
        client.force_login(User.objects.get(username="tomasz"))
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


def place(rule: Rule) -> str:
    return reverse("admin:workflows_rule_change", args=[rule.pk])


def offered(page: Page, row: int) -> list[str]:
    """The operators that can be chosen in a row."""
    options = page.get_by_label(f"Operator of condition {row}", exact=True).locator("option:not([disabled])")
    return [text for text in options.all_inner_texts() if text != "choose an operator"]


def test_a_fact_brings_the_operators_and_fields_that_fit_it(rule, enter):
    page = enter(place(rule))
    fact, operator, value, currency = (
        page.get_by_label(f"{part} of condition 1", exact=True) for part in ("Fact", "Operator", "Value", "Currency")
    )

    assert offered(page, 1) == ["holds", "does not hold", "is known", "is not known"]
    expect(value).to_be_hidden()

    fact.select_option("amount")
    expect(operator).to_have_value("")
    assert offered(page, 1) == ["is above", "is at least", "is below", "is", "is known", "is not known"]
    expect(currency).to_be_visible()

    fact.select_option("request.reason")
    assert offered(page, 1) == ["is", "is one of", "matches the pattern", "is known", "is not known"]
    expect(currency).to_be_hidden()
    operator.select_option("is_known")
    expect(value).to_be_hidden()


def test_conditions_are_said_while_they_are_chosen_and_read_back_once_saved(rule, enter):
    page = enter(place(rule))

    page.get_by_role("button", name="Add a condition").click()
    expect(page.get_by_label("Fact of condition 3", exact=True)).to_be_focused()
    page.get_by_label("Fact of condition 3", exact=True).select_option("amount")
    page.get_by_label("Operator of condition 3", exact=True).select_option("above")
    page.get_by_label("Value of condition 3", exact=True).fill("50.00")
    page.get_by_label("Currency of condition 3", exact=True).fill("gbp")
    said = "order on file does not hold and amount is above 50.00 GBP"
    expect(page.get_by_label("In words")).to_have_text(said)
    page.get_by_label("Reason for this change").fill("Small ones are let through")
    page.get_by_role("button", name="Save", exact=True).click()

    expect(page.get_by_text(f"{said}: at least full review")).to_be_visible()
    rule.refresh_from_db()
    assert rule.conditions[1] == {"fact": "amount", "operator": "above", "value": "50.00 GBP"}


def test_without_scripts_every_operator_is_offered_and_the_server_refuses_what_does_not_fit(rule, enter):
    page = enter(place(rule), java_script_enabled=False)

    page.get_by_label("Fact of condition 2", exact=True).select_option("amount")
    page.get_by_label("Operator of condition 2", exact=True).select_option("is_true")
    page.get_by_label("Reason for this change").fill("Try")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Condition 2: choose an operator that fits amount")).to_be_visible()
    page.get_by_label("Operator of condition 2", exact=True).select_option("at_least")
    page.get_by_label("Value of condition 2", exact=True).fill("10")
    page.get_by_label("Currency of condition 2", exact=True).fill("GBP")
    page.get_by_role("button", name="Save", exact=True).click()

    expect(page.get_by_text("amount is at least 10 GBP")).to_be_visible()
    rule.refresh_from_db()
    assert rule.conditions[1]["operator"] == "at_least"


def test_the_form_fits_a_phone(rule, enter):
    page = enter(place(rule), viewport=PHONE)

    page.get_by_label("Fact of condition 1", exact=True).select_option("customer.refunded_90d")

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect(page.get_by_label("Currency of condition 1", exact=True)).to_be_visible()
