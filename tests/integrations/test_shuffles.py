"""News in any order, twice, in any company: the end is always what the gateway itself says."""

import random
from dataclasses import dataclass
from typing import Any

import pytest

from approvals.models import Review
from approvals.states import ReviewState
from integrations.models import Payment
from tests.plugins.line import Line, vote
from workflows.models import Case

OURS, KEPT, CAME_BACK = 2_000, 3_000, 4_000
# How often, between two things that are told about one case, somebody works on what has been told so far.
BITES = 0.4


@dataclass
class Story:
    """One request, a refund beside it, one that fails; all that is told of it, in a drawn order and with copies."""

    payment: str
    reference: str
    told: list[tuple[str, dict[str, Any]]]
    seen_done: bool = False

    @classmethod
    def begin(cls, line: Line, chance: random.Random) -> "Story":
        """Let it happen at the gateway; nobody has told the desk yet."""
        order = line.paid()
        payment = f"pi_{order}"
        kept = line.gateway.refund_in_the_dashboard(payment, KEPT)
        came_back = line.gateway.refund_in_the_dashboard(payment, CAME_BACK)
        failed = line.gateway.fail(came_back["id"])
        said = line.request(order, "20.00", customer=f"customer{order}")
        charge = {"id": "ch_1", "object": "charge", "payment_intent": payment}
        told = [
            ("refund.requested", said),
            ("refund.created", kept),
            ("refund.updated", kept),
            ("refund.created", came_back),
            ("refund.failed", failed),
            *(("charge.refunded", charge | {"amount_refunded": total}) for total in (KEPT, KEPT + CAME_BACK)),
        ]
        told += chance.sample(told, 3)
        chance.shuffle(told)
        return cls(payment, said["reference"], told)

    def look(self) -> None:
        """It never goes back."""
        done = Case.objects.filter(key=self.reference, state="done").exists()
        assert done or not self.seen_done, f"{self.reference} was done and went back."
        self.seen_done = done

    def assert_ended(self, line: Line) -> None:
        """Our refund once, and the books as the gateway has them."""
        case = Case.objects.get(key=self.reference)
        assert case.state == "done", case.standing
        assert [effect["amount"] for effect in line.refunds(case)] == [OURS]
        row = Payment.objects.get(reference=self.payment)
        assert (row.refunded_minor, row.reserved_minor, row.reread_at) == (OURS + KEPT, 0, None)


def tell_shuffled(line: Line, chance: random.Random, many: int) -> None:
    """So many stories at once, one piece of news of this, then one of that, in drawn bites."""
    stories = [Story.begin(line, chance) for _ in range(many)]
    turns = [story for story in stories for _ in story.told]
    chance.shuffle(turns)
    for story in turns:
        kind, about = story.told.pop()
        if kind == "refund.requested":
            line.hear(kind, about, key=f"msg_{story.reference}_{chance.random()}")
        else:
            line.news(kind, about)
        if chance.random() < BITES / many:
            line.work()
            for each in stories:
                each.look()
    line.let_pass(minutes=5)
    # What went back beside it, where that was known in time, asks for people.
    for review in Review.objects.filter(state=ReviewState.OPEN):
        vote(review, line.cast.ben)
    line.let_pass(minutes=5)
    for story in stories:
        story.assert_ended(line)


@pytest.mark.parametrize("seed", range(2))
def test_news_in_any_order_end_in_what_the_gateway_says(line: Line, seed: int) -> None:
    tell_shuffled(line, random.Random(seed), many=4)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(50))
def test_500_orders_of_news_end_in_what_the_gateway_says(line: Line, seed: int) -> None:
    tell_shuffled(line, random.Random(seed), many=10)
    line.assert_sound()
