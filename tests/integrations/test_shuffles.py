"""News in any order, twice, in any company: the end is always what the gateway itself says."""

import random
from typing import Any

import pytest

from approvals.models import Review
from approvals.states import ReviewState
from integrations.models import Payment
from tests.plugins.line import Line, vote
from workflows.models import Case

OURS, KEPT, CAME_BACK = 2_000, 3_000, 4_000


def shuffled_story(line: Line, chance: random.Random) -> None:
    """One request, a refund beside it, one that fails: all news of it in a drawn order, with copies, in drawn bites."""
    order = line.paid()
    payment = f"pi_{order}"
    kept = line.gateway.refund_in_the_dashboard(payment, KEPT)
    came_back = line.gateway.refund_in_the_dashboard(payment, CAME_BACK)
    failed = line.gateway.fail(came_back["id"])
    said = line.request(order, "20.00", customer=f"customer{order}")
    news: list[tuple[str, dict[str, Any]]] = [
        ("refund.created", kept),
        ("refund.updated", kept),
        ("refund.created", came_back),
        ("refund.failed", failed),
        *(
            ("charge.refunded", {"id": "ch_1", "object": "charge", "payment_intent": payment, "amount_refunded": total})
            for total in (KEPT, KEPT + CAME_BACK)
        ),
    ]
    told: list[tuple[str, dict[str, Any]]] = [("refund.requested", said), *news]
    told += chance.sample(told, 3)
    chance.shuffle(told)
    seen_done = False
    for kind, about in told:
        if kind == "refund.requested":
            line.hear(kind, about, key=f"msg_{said['reference']}_{chance.random()}")
        else:
            line.news(kind, about)
        if chance.random() < 0.4:
            line.work()
            now_done = Case.objects.filter(key=said["reference"], state="done").exists()
            assert now_done or not seen_done, "A case that was done went back."
            seen_done = now_done
    line.let_pass(minutes=5)
    # What went back beside it, where that was known in time, asks for people.
    for review in Review.objects.filter(state=ReviewState.OPEN):
        vote(review, line.cast.ben)
    line.let_pass(minutes=5)

    case = Case.objects.get(key=said["reference"])
    assert case.state == "done", case.standing
    assert [effect["amount"] for effect in line.refunds(case)] == [OURS]
    row = Payment.objects.get(reference=payment)
    assert (row.refunded_minor, row.reserved_minor, row.reread_at) == (OURS + KEPT, 0, None)


@pytest.mark.parametrize("seed", range(8))
def test_news_in_any_order_end_in_what_the_gateway_says(line: Line, seed: int) -> None:
    shuffled_story(line, random.Random(seed))


@pytest.mark.long
def test_500_orders_of_news_end_in_what_the_gateway_says(line: Line) -> None:
    for seed in range(500):
        shuffled_story(line, random.Random(seed))
    line.assert_sound()
