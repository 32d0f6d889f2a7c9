"""What every gateway that speaks the dialect must do for the connector, whoever wrote it."""

import uuid

import pytest

from integrations.connectors.stripe.connector import StripeGateway
from integrations.errors import CallFailed
from opsdesk.lib.money import Money
from workflows.states import FailureKind


def pounds(text: str) -> Money:
    return Money.parse(text, "GBP")


def a_payment_is_read(gateway: StripeGateway, payment: str) -> None:
    """A fresh payment over £100.00."""
    seen = gateway.payment(payment)

    assert (seen.reference, seen.captured, seen.refunded) == (payment, pounds("100.00"), pounds("0.00"))
    assert seen.status == "succeeded"


def parts_are_refunded_and_read_back(gateway: StripeGateway, payment: str) -> None:
    """Two parts, each with a key of its own."""
    keys = [uuid.uuid4(), uuid.uuid4()]
    receipts = [
        gateway.refund(payment=payment, amount=pounds(amount), key=key, case="CASE-7")
        for amount, key in zip(["12.50", "0.01"], keys, strict=True)
    ]

    assert [receipt.amount for receipt in receipts] == [pounds("12.50"), pounds("0.01")]
    assert [receipt.key for receipt in receipts] == keys
    assert {receipt.payment for receipt in receipts} == {payment}
    assert {receipt.status for receipt in receipts} == {"succeeded"}
    assert [gateway.retrieve_refund(receipt.reference) for receipt in receipts] == receipts
    assert gateway.payment(payment).refunded == pounds("12.51")
    by_reference = {receipt.reference: receipt for receipt in gateway.refunds_of(payment)}
    assert by_reference == {receipt.reference: receipt for receipt in receipts}


def a_refund_is_found_by_its_key(gateway: StripeGateway, payment: str) -> None:
    """Ours is told from others, and from none."""
    key = uuid.uuid4()
    assert gateway.find_refund(payment=payment, key=key) is None
    gateway.refund(payment=payment, amount=pounds("1.00"), key=uuid.uuid4(), case="CASE-8")
    receipt = gateway.refund(payment=payment, amount=pounds("1.00"), key=key, case="CASE-7")

    assert gateway.find_refund(payment=payment, key=key) == receipt
    assert gateway.find_refund(payment=payment, key=uuid.uuid4()) is None


def the_same_key_brings_the_same_refund(gateway: StripeGateway, payment: str) -> None:
    """However often it is sent."""
    key = uuid.uuid4()
    receipts = {
        gateway.refund(payment=payment, amount=pounds("5.00"), key=key, case="CASE-7").reference for _ in range(3)
    }

    assert len(receipts) == 1
    assert gateway.payment(payment).refunded == pounds("5.00")


def the_same_key_for_something_else_is_refused_and_leaves_the_first_in_doubt(
    gateway: StripeGateway, payment: str
) -> None:
    """The first refund stays as it was."""
    key = uuid.uuid4()
    gateway.refund(payment=payment, amount=pounds("5.00"), key=key, case="CASE-7")

    failed = refusal_of_a_refund(gateway, payment, "6.00", key)

    assert (failed.kind, failed.effect_possible) == (FailureKind.DATA, True)
    assert gateway.payment(payment).refunded == pounds("5.00")


def more_than_is_left_is_refused_without_effect(gateway: StripeGateway, payment: str) -> None:
    """100.00 less 60.00 leaves no 40.01."""
    gateway.refund(payment=payment, amount=pounds("60.00"), key=uuid.uuid4(), case="CASE-7")

    failed = refusal_of_a_refund(gateway, payment, "40.01")

    assert (failed.kind, failed.effect_possible) == (FailureKind.DATA, False)
    assert gateway.payment(payment).refunded == pounds("60.00")


def what_does_not_exist_is_a_failure_of_data(gateway: StripeGateway, payment: str) -> None:
    """`payment` is a reference of the right form that nobody has."""
    for attempt in (
        lambda: gateway.payment(payment),
        lambda: gateway.refund(payment=payment, amount=pounds("1.00"), key=uuid.uuid4(), case="CASE-7"),
        lambda: gateway.retrieve_refund("re_nobody"),
    ):
        with pytest.raises(CallFailed) as failed:
            attempt()
        assert (failed.value.kind, failed.value.effect_possible) == (FailureKind.DATA, False)


def without_a_key_nobody_is_let_in(stranger: StripeGateway, payment: str) -> None:
    """A wrong API key is trouble of the connection, not of one case."""
    with pytest.raises(CallFailed) as failed:
        stranger.payment(payment)

    assert (failed.value.kind, failed.value.effect_possible) == (FailureKind.INFRASTRUCTURE, False)
    assert failed.value.call is not None
    assert failed.value.call.status == 401


def refusal_of_a_refund(gateway: StripeGateway, payment: str, amount: str, key: uuid.UUID | None = None) -> CallFailed:
    with pytest.raises(CallFailed) as failed:
        gateway.refund(payment=payment, amount=pounds(amount), key=key or uuid.uuid4(), case="CASE-7")
    return failed.value


ALL = [
    a_payment_is_read,
    parts_are_refunded_and_read_back,
    a_refund_is_found_by_its_key,
    the_same_key_brings_the_same_refund,
    the_same_key_for_something_else_is_refused_and_leaves_the_first_in_doubt,
    more_than_is_left_is_refused_without_effect,
]
