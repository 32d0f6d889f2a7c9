"""A payment's books under everything that can happen to it, in any order: the sums are those of the rows, always.

Captured, held for intents, gone back: checked after each step against a ledger kept beside, and rebuilt from rows.
"""

from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from accounts.models import Organization
from integrations import mirroring
from integrations.gateways import PaymentSeen, Receipt
from integrations.models import Action, Connection, Payment, Refund
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from tests import factories

AMOUNTS = strategies.integers(1, 4_000)
STATUSES = strategies.sampled_from(["pending", "succeeded", "failed"])
pytestmark = pytest.mark.django_db


class Books(RuleBasedStateMachine):
    """One payment, and what people, the sender, the gateway and the bank do to it."""

    held = Bundle("held")  # actions under way, which may hold an amount
    sent = Bundle("sent")  # receipts of ours that the gateway gave
    foreign = Bundle("foreign")  # receipts of refunds that the desk did not make

    @initialize()
    def pay(self) -> None:
        number = Organization.objects.count()
        self.organization, _ = factories.make_desk(f"desk-{number}", suffix=f"-{number}")
        self.connection = Connection.objects.get(organization=self.organization, slug="gateway")
        self.reference = f"pi_{self.organization.pk}"
        self.see(10_000)
        self.numbers = 0
        # The ledger kept beside: what each key holds, and what each refund took.
        self.holding: dict[int, int] = {}
        self.gone: dict[str, int] = {}

    def see(self, captured: int) -> None:
        self.captured = captured
        seen = PaymentSeen(
            self.reference, Money(captured, "GBP"), Money(0, "GBP"), "succeeded", "", "", clock.now() - timedelta(1)
        )
        with transaction.atomic():
            mirroring.take_payment(self.connection, seen)

    @rule(captured=strategies.integers(1, 20_000))
    def capture(self, captured: int) -> None:
        """The gateway shows another sum captured: more was taken, or a dispute took some away."""
        self.see(captured)

    @rule(target=held, amount=AMOUNTS)
    def reserve(self, amount: int) -> int:
        """Plan a refund; the answer is an action, or none where the payment has not so much left."""
        payment = self.payment()
        fits = self.captured - sum(self.holding.values()) - sum(self.gone.values()) >= amount
        with transaction.atomic():
            assert mirroring.reserve(payment.pk, amount) == fits
            if not fits:
                return 0
            case = factories.make_case(self.organization, amount=f"{amount / 100:.2f}", target=self.reference)
            action = factories.make_action(factories.make_run(case), payment=payment, state=ActionState.SENDING)
        self.holding[action.pk] = amount
        return action.pk

    @rule(action=consumes(held))
    def fail(self, action: int) -> None:
        """The gateway certainly did nothing: what was held is free again."""
        if not action:
            return
        row = Action.objects.get(pk=action)
        with transaction.atomic():
            payment = Payment.objects.select_for_update().get(pk=row.payment_id)
            mirroring.release(row, payment)
            row.move_to(ActionState.FAILED, due_at=None, holds_reservation=False)
        self.holding.pop(action, None)

    @rule(target=sent, action=consumes(held), status=STATUSES, difference=strategies.sampled_from([0, 0, 0, 7]))
    def refund(self, action: int, status: str, difference: int) -> Receipt | None:
        """The gateway took our refund, perhaps over another amount than ours."""
        if not action:
            return None
        row = Action.objects.get(pk=action)
        amount = Money(row.amount_minor + difference, "GBP")
        receipt = Receipt(f"re_{action}", self.reference, amount, status, clock.now(), row.key)
        self.take(receipt)
        return receipt

    @rule(target=foreign, amount=AMOUNTS, status=STATUSES)
    def refund_elsewhere(self, amount: int, status: str) -> Receipt:
        """Somebody refunds in the gateway's dashboard; nothing asks what the desk holds."""
        self.numbers += 1
        name = f"re_x{self.organization.pk}_{self.numbers}"
        receipt = Receipt(name, self.reference, Money(amount, "GBP"), status, clock.now())
        self.take(receipt)
        return receipt

    @rule(receipt=strategies.one_of(sent, foreign), status=STATUSES)
    def hear(self, receipt: Receipt | None, status: str) -> None:
        """The same refund is told again, perhaps in another state: settled, failed days later, or repeated."""
        if receipt is not None:
            self.take(Receipt(receipt.reference, receipt.payment, receipt.amount, status, clock.now(), receipt.key))

    def take(self, receipt: Receipt) -> None:
        with transaction.atomic():
            payment = Payment.objects.select_for_update().get(reference=self.reference)
            mirroring.take_refund(payment, receipt)
        if receipt.key:
            self.holding.pop(Action.objects.get(key=receipt.key).pk, None)
        self.gone[receipt.reference] = 0 if receipt.status == "failed" else receipt.amount.minor

    def payment(self) -> Payment:
        return Payment.objects.get(reference=self.reference)

    @invariant()
    def sums_are_those_of_the_ledger_and_of_the_rows(self) -> None:
        if not hasattr(self, "gone"):
            return
        payment = self.payment()
        held, gone = sum(self.holding.values()), sum(self.gone.values())
        assert (payment.captured_minor, payment.reserved_minor, payment.refunded_minor) == (self.captured, held, gone)
        # Rebuilt from the rows alone.
        rows = Refund.objects.filter(payment=payment).exclude(status=Refund.Status.FAILED)
        assert gone == sum(rows.values_list("amount_minor", flat=True))
        holding = Action.objects.filter(payment=payment, holds_reservation=True)
        assert held == sum(holding.values_list("amount_minor", flat=True))
        assert payment.overbooked == (held + gone > self.captured)
        # Every penny is somewhere: left, held, gone, or more gone than there was.
        assert payment.captured_minor == payment.reserved_minor + payment.refunded_minor + (self.captured - held - gone)


@pytest.mark.parametrize("examples", [20, pytest.param(300, marks=pytest.mark.long)])
def test_the_books_of_a_payment_hold_whatever_happens_in_whatever_order(examples: int):
    run_state_machine_as_test(
        Books,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            deadline=None,
            database=None,
            derandomize=examples < 100,
            suppress_health_check=list(HealthCheck),
        ),
    )
