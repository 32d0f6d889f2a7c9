"""The page of one case, in every state, for every role."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from approvals.models import Stage, Vote
from approvals.states import ReviewState
from auditlog.services import Actor, record
from integrations.models import Order, OrderLine
from integrations.states import ActionState
from opsdesk.lib import clock
from tests.approvals.desk import htmx, signed_in, url
from tests.factories import (
    make_action,
    make_case,
    make_desk,
    make_failure,
    make_payment,
    make_review,
    make_run,
    make_vote,
)
from workflows import cases
from workflows.facts import known, missing
from workflows.models import Case
from workflows.states import CaseState, RunState, Tier

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk():
    return make_desk()


@pytest.fixture
def organization(desk):
    return desk[0]


@pytest.fixture
def cast(desk):
    return desk[1]


def page_of(user, case, **more):
    response = signed_in(user).get(reverse("approvals:case", args=[case.pk]), **more)
    assert response.status_code == 200
    return response.content.decode()


def gathered(**facts):
    """Facts as the engine stores them; None is a gap."""
    now = clock.now()
    return {
        name.replace("__", "."): known(value, "gateway", now)
        if value is not None
        else missing("The request names no order.", "shop", now)
        for name, value in facts.items()
    }


def reviewed(organization, *, facts=None, trace=None, sentence="", lines=(), **fields):
    """A case in review on which the given facts were gathered and the given demands made."""
    case = make_case(organization, **fields)
    if lines:
        case.data = {**case.data, "lines": list(lines)}
        case.save(update_fields=["data"])
    make_run(case, state=RunState.WAITING, facts=facts or {})
    review = make_review(case)
    if trace is not None:
        decision = review.decision
        review.decision = type(decision).objects.create(
            organization_id=case.organization_id,
            case=case,
            run=review.run,
            tier=decision.tier,
            facts=facts or {},
            trace=trace,
            sentence=sentence or decision.sentence,
            content_hash=decision.content_hash,
        )
        review.save(update_fields=["decision"])
    return review


def test_the_money_line_adds_up(cast, organization):
    facts = gathered(payment__captured=21470, payment__refunded=0, order__share="0.1782")
    review = reviewed(organization, amount="38.25", facts=facts)
    make_payment(review.case, captured="214.70")

    page = page_of(cast.ada, review.case)

    for words in ("£214.70", "£0.00", "£38.25", "£176.45", "18 % of the order"):
        assert words in page
    assert "38.25 of £214.70 asked" in page


def test_what_is_not_known_is_said_with_the_reason(cast, organization):
    facts = gathered(order__share=None, order__days_since=None, customer__known=True)
    review = reviewed(organization, facts=facts)

    page = page_of(cast.ada, review.case)

    assert "Share of the order, Days since the order" in page
    assert "The request names no order." in page
    assert page.count("not known</dd>") == 3  # captured, refunded before, left after


def test_facts_carry_source_and_age_and_those_that_decided_come_first(cast, organization):
    facts = gathered(customer__refunds_30d=1, order__on_file=False)
    trace = [
        {
            "source": "rule 1",
            "result": "hit",
            "words": "No order on file",
            "tier": "full_review",
            "facts": ["order.on_file"],
        }
    ]
    facts["order.on_file"]["at"] = (clock.now() - timedelta(days=3)).isoformat()
    review = reviewed(organization, facts=facts, trace=trace)

    page = page_of(cast.ada, review.case)

    assert page.index("Order on file") < page.index("Refunds in 30 days")
    assert 'class="src old">gateway, <time' in page
    assert ">3 d 0 h</time>" in page or ">3 d</time>" in page


def test_why_it_is_here_names_hits_gaps_and_the_rules_that_did_not_hit(cast, organization):
    trace = [
        {"source": "rule 1", "result": "hit", "words": "No order on file", "tier": "full_review", "facts": []},
        {"source": "rule 2", "result": "miss", "words": "Customer not on file", "tier": None, "facts": []},
        {"source": "rule 3", "result": "undetermined", "words": "Old order: cannot be known without order.days_since",
         "tier": "full_review", "facts": ["order.days_since"]},
        {"source": "rule 4", "result": "undetermined", "words": "Whole order: cannot be known without order.share",
         "tier": "full_review", "facts": ["order.share"]},
        {"source": "thresholds", "result": "hit", "words": "£60.00 is within the limit of £100.00 for fast-track",
         "tier": "fast_track", "facts": ["amount"]},
    ]  # fmt: skip
    review = reviewed(organization, trace=trace)

    page = page_of(cast.ada, review.case)

    assert "<strong>No order on file</strong>" in page
    assert "2 rules cannot be told without days since the order, share of the order." in page
    assert "Old order; Whole order" in page
    assert "1 other rule was checked and did not hit" in page
    assert page.index("No order on file") < page.index("is within the limit of £100.00")


def test_order_lines_mark_what_is_asked(cast, organization):
    lines = [
        {"sku": "22423", "description": "CAKESTAND", "quantity": 3, "unit_price": "12.75"},
        {"sku": "X", "description": "NEVER BOUGHT", "quantity": 1, "unit_price": "oops"},
    ]
    review = reviewed(organization, amount="38.25", lines=lines)
    order = Order.objects.create(
        organization=organization, number=review.case.data["order"], placed_at=clock.now(), total_minor=21470,
        currency="GBP",
    )  # fmt: skip
    for sku, name, quantity in (("22423", "CAKESTAND", 6), ("22722", "CAKE TINS", 12)):
        OrderLine.objects.create(order=order, sku=sku, description=name, quantity=quantity, unit_price_minor=1275)

    page = page_of(cast.ada, review.case)

    assert "3, £38.25" in page
    assert "not in this order" in page
    assert "not readable" in page
    assert "1 other line of the order" in page
    assert page.count('aria-selected="true"') == 2


def test_lines_that_do_not_add_up_are_pointed_out(cast, organization):
    review = reviewed(
        organization, amount="40.00", lines=[{"sku": "1", "description": "A", "quantity": 2, "unit_price": "10.00"}]
    )

    assert "These lines add up to £20.00, £40.00 is asked." in page_of(cast.ada, review.case)


def test_approving_says_what_it_will_do_and_how_far_it_can_be_undone(cast, organization):
    facts = gathered(payment__captured=21470, payment__refunded=0)
    review = reviewed(organization, amount="38.25", facts=facts)
    make_payment(review.case, captured="214.70")

    page = page_of(cast.ada, review.case)

    assert (
        f'send £38.25 back to payment <span class="mono"><bdi>{review.case.target}</bdi></span> through Gateway' in page
    )
    assert "in part, until the customer has said where the money goes, costs nothing" in page
    assert "One that was paid is final" in page
    assert "10 s" in page


def test_more_than_is_left_is_warned_about(cast, organization):
    facts = gathered(payment__captured=5000, payment__refunded=4000)
    review = reviewed(organization, amount="38.25", facts=facts)
    make_payment(review.case, captured="50.00")

    assert "Only £10.00 of the payment is left: the refund would be refused." in page_of(cast.ada, review.case)


def test_the_button_names_amount_and_suggested_reason(cast, organization):
    review = reviewed(organization, amount="141.48", reason="returned")

    page = page_of(cast.ada, review.case)

    assert "Approve £141.48" in page
    assert 'data-named="approve">Goods came back</small>' in page
    assert 'data-named="reject">Not bought from us</small>' in page


def test_without_a_suggestion_nothing_is_chosen_for_the_person(cast, organization):
    review = reviewed(organization, reason="something else")

    page = page_of(cast.ada, review.case)

    assert 'data-named="approve">choose a reason</small>' in page
    assert " checked" not in page.split("Reason to approve")[1].split("Rationale")[0]


def test_without_a_payment_there_is_nothing_to_approve(cast, organization):
    review = reviewed(organization, target="")

    page = page_of(cast.ada, review.case)

    assert "No payment is named" in page
    assert 'value="approve" data-decides disabled' in page
    assert "Correct the request" in page


@pytest.mark.parametrize(
    ("who", "decides"), [("ada", True), ("ben", True), ("maya", True), ("tomasz", False), ("ines", False)]
)
def test_only_those_who_decide_see_buttons_and_the_others_are_told_why(cast, organization, who, decides):
    review = reviewed(organization)

    page = page_of(getattr(cast, who), review.case)

    assert ('value="approve"' in page) == decides
    assert ('value="reject"' in page) == decides
    assert ("does not decide." in page) == (not decides)
    assert ('data-key="e"' in page) == decides


def test_whoever_corrected_is_told_that_somebody_else_decides(cast, organization):
    review = reviewed(organization)
    cases.correct(review.case_id, by=cast.ada, changes={"customer": "1"}, reason="Typing slip.")
    again = make_review(Case.objects.get(pk=review.case_id))

    page = page_of(cast.ada, again.case)

    assert "somebody else has to decide it" in page
    assert 'value="approve"' not in page
    assert "Corrected by Ada Okafor" in page
    assert "Typing slip." in page


def test_votes_of_several_people_are_counted(cast, organization):
    Stage.objects.filter(tier__organization=organization, tier__tier=Tier.FULL_REVIEW).update(votes=2)
    review = reviewed(organization)
    make_vote(review, cast.ben)

    assert "1 of 2 votes by Refunds." in page_of(cast.ada, review.case)
    assert "You have already voted on this case." in page_of(cast.ben, review.case)


def test_a_closed_review_says_who_and_when(cast, organization):
    review = reviewed(organization)
    make_vote(review, cast.ben)
    closed = {"state": ReviewState.APPROVED, "decided_by": cast.ben, "closed_at": clock.now()}
    type(review).objects.filter(pk=review.pk).update(**closed)

    page = page_of(cast.ada, review.case)

    assert "Approved by Ben Marsh, " in page
    assert 'value="approve"' not in page


def test_an_action_shows_its_state_and_the_reference_of_the_gateway(cast, organization):
    case = make_case(organization, state=CaseState.DONE)
    run = make_run(case, state=RunState.SUCCEEDED)
    make_action(run, state=ActionState.VERIFIED)

    page = page_of(cast.ines, case)

    assert "Verified" in page
    assert f"re_{run.pk}" in page


def test_money_that_may_have_left_is_said_first(cast, organization):
    case = make_case(organization)
    make_action(make_run(case, state=RunState.WAITING, waits_for="action"), state=ActionState.UNKNOWN)

    page = page_of(cast.ada, case)

    assert f"{case.amount} may or may not have left." in page
    assert "Correct the request" not in page


def test_a_stopped_case_says_why_and_offers_what_the_role_may_do(cast, organization):
    failure = make_failure(organization, message="The request has no amount.")
    case = failure.items.get().run.case

    as_operator, as_manager = page_of(cast.ada, case), page_of(cast.maya, case)

    assert "Stopped: the data needs a person." in as_operator
    assert "Correct and decide again" in as_operator
    assert "Try again" not in as_operator
    assert "Try again" in as_manager
    assert reverse("workflows:failure", args=[failure.pk]) in as_manager


def test_the_timeline_tells_of_people_and_of_the_outside(cast, organization):
    review = reviewed(organization)
    for actor, verb in ((Actor.outside("wholesale-uk/shop"), "workflows.case.opened"),
                        (Actor.person(cast.ben), "approvals.review.escalated")):  # fmt: skip
        with transaction.atomic():
            record(verb, actor=actor, organization_id=organization.pk, subject=("case", 1), case_id=review.case_id,
                   reason="Because \u202eof this.")  # fmt: skip

    page = page_of(cast.ada, review.case)

    assert "Ben Marsh escalated the review" in page
    assert "Opened the case, wholesale-uk/shop" in page
    assert "Because [U+202E]of this." in page


@pytest.mark.parametrize("field", ["party", "party_name", "key", "target", "requested_by", "reason"])
def test_markup_from_outside_stays_text(cast, organization, field):
    review = reviewed(organization, **{field: "<img src=x onerror=alert(1)>"})

    assert "<img" not in page_of(cast.ada, review.case)


@pytest.mark.parametrize(
    "data",
    [
        {"lines": "none", "order": ["x"]},
        {"lines": [None, 3, {"sku": None, "quantity": True, "unit_price": 4.5}], "order": {"a": 1}},
        {"lines": [{"quantity": 10**40, "unit_price": "1.00"}], "order": 7},
        {"amount": {"x": 1}, "customer": False},
    ],
)
def test_odd_content_does_not_break_the_page(cast, organization, data):
    review = reviewed(organization)
    Case.objects.filter(pk=review.case_id).update(data=data)

    assert "Order lines" in page_of(cast.ada, review.case)


def test_htmx_gets_the_fragment_and_caches_can_tell(cast, organization):
    review = reviewed(organization)

    response = signed_in(cast.ada).get(reverse("approvals:case", args=[review.case_id]), **htmx())

    assert "<html" not in response.content.decode()
    assert response.content.decode().strip().startswith('<div class="opened chosen" id="opened"')
    assert {"HX-Request", "Cookie"} <= set(map(str.strip, response.headers["Vary"].split(",")))


def test_another_organizations_case_is_not_there(cast, organization):
    theirs, _ = make_desk("elsewhere", suffix="2")
    review = reviewed(theirs)
    client = signed_in(cast.maya)

    for name in ("case", "case_news"):
        assert client.get(url(name, review)).status_code == 404
    for name in ("decide", "take_back", "escalate", "object", "correct", "retry", "reassign", "leaving_object"):
        assert client.post(url(name, review)).status_code == 404


def test_news_of_the_opened_case_is_offered_once_something_happened(cast, organization):
    review = reviewed(organization)
    client, address = signed_in(cast.ada), url("case_news", review)
    before = client.get(address, {"seen": "0"}, **htmx("case-news"))
    with transaction.atomic():
        record("approvals.review.escalated", actor=Actor.person(cast.ben), organization_id=organization.pk,
               subject=("review", review.pk), case_id=review.case_id, reason="Please look.")  # fmt: skip

    after = client.get(address, {"seen": "0"}, **htmx("case-news"))
    watched = client.get(address, {"seen": "0", "follows": "1"}, **htmx("case-news"))

    assert "Ben Marsh" not in before.content.decode()
    assert "Ben Marsh" in after.content.decode()
    assert "case-moved" in watched.headers["HX-Trigger"]


def test_the_page_stays_within_its_budget(cast, organization):
    facts = gathered(payment__captured=21470, payment__refunded=0, order__on_file=False)
    review = reviewed(organization, facts=facts, lines=[{"sku": "1", "quantity": 1, "unit_price": "1.00"}])
    make_payment(review.case)
    make_vote(review, cast.ben)
    client, address = signed_in(cast.ada), url("case", review)
    client.get(address)

    with CaptureQueriesContext(connection) as captured:
        client.get(address)

    # The ceilings of whoever looks, and the limits of a day, included.
    assert len(captured) <= 28
    assert Vote.objects.count() == 1
