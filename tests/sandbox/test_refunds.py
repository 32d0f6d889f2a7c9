"""Refunds: whole, in parts, never too much, and what may become of them later."""

import threading

import pytest
import stripe

from tests.plugins.sandbox import Gateway
from tests.sandbox.conftest import PAYMENT


def test_a_refund_moves_the_money_and_says_so(paid: Gateway, client: stripe.StripeClient) -> None:
    refund = client.v1.refunds.create(
        {
            "payment_intent": "pi_536365",
            "amount": 4_000,
            "reason": "requested_by_customer",
            "metadata": {"case": "7"},
        }
    )

    assert (refund.amount, refund.currency, refund.status) == (4_000, "gbp", "succeeded")
    assert (refund.charge, refund.payment_intent) == ("ch_536365", "pi_536365")
    assert (refund.reason, refund.metadata.to_dict()) == ("requested_by_customer", {"case": "7"})
    assert client.v1.refunds.retrieve(refund.id).to_dict() == refund.to_dict()
    charge = client.v1.charges.retrieve("ch_536365", {"expand": ["refunds"]})
    assert (charge.amount_refunded, charge.refunded) == (4_000, False)
    assert [each.id for each in charge.refunds] == [refund.id]


def test_without_an_amount_what_is_left_is_refunded(paid: Gateway, client: stripe.StripeClient) -> None:
    client.v1.refunds.create({"charge": "ch_536365", "amount": 1})

    rest = client.v1.refunds.create({"charge": "ch_536365"})

    assert rest.amount == 9_999
    assert client.v1.charges.retrieve("ch_536365").refunded is True


def test_refunds_are_listed_by_payment_and_by_charge(paid: Gateway, client: stripe.StripeClient) -> None:
    paid.seed([PAYMENT | {"id": "pi_2", "charge": "ch_2"}])
    first = client.v1.refunds.create({"payment_intent": "pi_536365", "amount": 1})
    client.v1.refunds.create({"payment_intent": "pi_2", "amount": 1})
    third = client.v1.refunds.create({"payment_intent": "pi_536365", "amount": 1})

    assert [each.id for each in client.v1.refunds.list({"charge": "ch_536365"})] == [third.id, first.id]
    assert len(client.v1.refunds.list({"payment_intent": "pi_2"}).data) == 1
    assert len(client.v1.refunds.list().data) == 3


def test_more_than_is_left_is_refused(paid: Gateway, client: stripe.StripeClient) -> None:
    client.v1.refunds.create({"charge": "ch_536365", "amount": 6_000})

    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.refunds.create({"charge": "ch_536365", "amount": 6_000})

    assert refusal.value.http_status == 400
    assert refusal.value.param == "amount"
    message = "Refund amount (£60.00) is greater than unrefunded amount on charge (£40.00)"
    assert refusal.value.user_message == message
    assert [effect["amount"] for effect in paid.effects()] == [6_000]


@pytest.mark.parametrize("amount", [None, 1])
def test_nothing_left_means_already_refunded(paid: Gateway, client: stripe.StripeClient, amount: int | None) -> None:
    client.v1.refunds.create({"charge": "ch_536365"})

    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.refunds.create({"charge": "ch_536365", **({"amount": amount} if amount else {})})

    assert refusal.value.code == "charge_already_refunded"
    assert len(paid.effects()) == 1


def test_a_lax_gateway_lets_too_much_through(paid: Gateway, client: stripe.StripeClient) -> None:
    paid.behave(allow_over_refund=True)
    for _ in range(2):
        client.v1.refunds.create({"charge": "ch_536365", "amount": 6_000})

    assert client.v1.charges.retrieve("ch_536365").amount_refunded == 12_000
    assert sum(effect["amount"] for effect in paid.effects()) == 12_000


def test_two_at_once_cannot_have_more_than_there_is(paid: Gateway) -> None:
    start = threading.Barrier(8)
    statuses: list[int] = []

    def refund() -> None:
        start.wait()
        statuses.append(paid.post("/v1/refunds", {"charge": "ch_536365", "amount": 3_000}).status)

    threads = [threading.Thread(target=refund) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200] * 3 + [400] * 5
    assert sum(effect["amount"] for effect in paid.effects()) == 9_000


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 400, "parameter_missing"),
        ({"charge": "ch_536365", "payment_intent": "pi_536365"}, 400, None),
        ({"charge": "ch_nobody"}, 404, "resource_missing"),
        ({"payment_intent": "pi_nobody"}, 404, "resource_missing"),
        ({"charge": "ch_536365", "amount": "0"}, 400, "parameter_invalid_integer"),
        ({"charge": "ch_536365", "amount": "-1"}, 400, "parameter_invalid_integer"),
        ({"charge": "ch_536365", "amount": "0.001"}, 400, "parameter_invalid_integer"),
        ({"charge": "ch_536365", "amount": "10,00"}, 400, "parameter_invalid_integer"),
        ({"charge": "ch_536365", "amount": "1e3"}, 400, "parameter_invalid_integer"),
        ({"charge": "ch_536365", "amount": "٣"}, 400, "parameter_invalid_integer"),
        ({"charge": "ch_536365", "amount": "NaN"}, 400, "parameter_invalid_integer"),
        ({"charge": "ch_536365", "amount": "1" + "0" * 18}, 400, "parameter_invalid_integer"),
        ({"charge": "ch_536365", "amount": "100000000000"}, 400, "amount_too_large"),
        ({"charge": "ch_536365", "reason": "because"}, 400, None),
        ({"charge": "ch_536365", "currency": "usd"}, 400, "parameter_unknown"),
        ({"charge": "ch_536365", "metadata[x]": "y" * 501}, 400, None),
        ({"charge": "ch_536365", "metadata": "y"}, 400, None),
    ],
)
def test_a_broken_wish_moves_nothing(paid: Gateway, fields: dict[str, str], status: int, code: str | None) -> None:
    answer = paid.post("/v1/refunds", fields)

    assert (answer.status, answer.error.get("code")) == (status, code)
    assert paid.effects() == []
    assert paid.get("/v1/charges/ch_536365").json["amount_refunded"] == 0


def test_only_metadata_can_be_changed(paid: Gateway, client: stripe.StripeClient) -> None:
    refund = client.v1.refunds.create({"charge": "ch_536365", "metadata": {"a": "1", "7": "2"}})

    changed = client.v1.refunds.update(refund.id, {"metadata": {"a": "", "c": "3"}})

    assert changed.metadata.to_dict() == {"7": "2", "c": "3"}
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: amount"):
        client.v1.refunds.update(refund.id, {"amount": 1})  # type: ignore[typeddict-unknown-key]


def test_a_card_refund_cannot_be_canceled(paid: Gateway, client: stripe.StripeClient) -> None:
    refund = client.v1.refunds.create({"charge": "ch_536365"})

    with pytest.raises(stripe.InvalidRequestError, match="requires_action"):
        client.v1.refunds.cancel(refund.id)

    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"


def test_a_refund_that_fails_late_frees_its_amount(paid: Gateway, client: stripe.StripeClient) -> None:
    refund = client.v1.refunds.create({"charge": "ch_536365"})

    paid.fail(refund.id, "lost_or_stolen_card")

    failed = client.v1.refunds.retrieve(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "lost_or_stolen_card")
    assert client.v1.charges.retrieve("ch_536365").amount_refunded == 0
    assert client.v1.refunds.create({"charge": "ch_536365"}).amount == 10_000
    assert [effect["kind"] for effect in paid.effects()] == ["refund", "refund_failed", "refund"]


def test_a_refund_fails_only_once(paid: Gateway, client: stripe.StripeClient) -> None:
    refund = client.v1.refunds.create({"charge": "ch_536365"})
    paid.fail(refund.id)

    with pytest.raises(AssertionError, match="409"):
        paid.fail(refund.id)

    assert len(paid.effects()) == 2


def test_a_pending_refund_waits_until_it_settles(paid: Gateway) -> None:
    refund = paid.post("/v1/refunds", {"charge": "ch_536365"}, fault="pending").json
    assert refund["status"] == "pending"
    assert paid.get("/v1/charges/ch_536365").json["amount_refunded"] == 10_000

    paid.settle(refund["id"])

    assert paid.get(f"/v1/refunds/{refund['id']}").json["status"] == "succeeded"


def test_a_refund_that_waits_for_the_customer_can_be_canceled_once(paid: Gateway, client: stripe.StripeClient) -> None:
    refund = paid.post("/v1/refunds", {"charge": "ch_536365"}, fault="requires_action").json
    assert (refund["status"], refund["next_action"]["type"]) == ("requires_action", "display_details")
    assert paid.get("/v1/charges/ch_536365").json["amount_refunded"] == 10_000

    canceled = client.v1.refunds.cancel(refund["id"])

    assert canceled.status == "canceled"
    assert paid.get("/v1/charges/ch_536365").json["amount_refunded"] == 0
    assert [effect["kind"] for effect in paid.effects()] == ["refund", "refund_failed"]
    with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
        client.v1.refunds.cancel(refund["id"])


def test_a_refund_of_which_the_customer_gave_the_details_can_no_longer_be_canceled(
    paid: Gateway, client: stripe.StripeClient
) -> None:
    refund = paid.post("/v1/refunds", {"charge": "ch_536365"}, fault="requires_action").json
    paid.settle(refund["id"])

    with pytest.raises(stripe.InvalidRequestError, match="status of succeeded"):
        client.v1.refunds.cancel(refund["id"])


def test_the_dashboard_refunds_behind_the_back_of_everyone(paid: Gateway, client: stripe.StripeClient) -> None:
    paid.refund_in_the_dashboard("pi_536365", 2_500)

    assert client.v1.charges.retrieve("ch_536365").amount_refunded == 2_500
    assert [(effect["origin"], effect["amount"]) for effect in paid.effects()] == [("dashboard", 2_500)]
