"""Idempotency keys in the three modes that gateways know."""

import threading
import time

import pytest
import stripe

from tests.plugins.sandbox import Gateway, wait_until
from tests.sandbox.conftest import PAYMENT

REFUND = {"charge": "ch_536365", "amount": "1000"}


def test_the_same_key_gives_the_same_answer_and_one_effect(paid: Gateway) -> None:
    first = paid.post("/v1/refunds", REFUND, key="k1")
    again = paid.post("/v1/refunds", REFUND, key="k1")

    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"] != again.headers["Request-Id"]
    assert "Idempotent-Replayed" not in first.headers
    assert [effect["idempotency_key"] for effect in paid.effects()] == ["k1"]


def test_the_same_key_for_another_wish_is_refused(paid: Gateway, client: stripe.StripeClient) -> None:
    params = {"charge": "ch_536365", "amount": 1_000}
    client.v1.refunds.create(params, {"idempotency_key": "k1"})

    with pytest.raises(stripe.IdempotencyError, match="with the same parameters") as refusal:
        client.v1.refunds.create({**params, "amount": 2_000}, {"idempotency_key": "k1"})

    assert refusal.value.http_status == 400
    assert len(paid.effects()) == 1


def test_the_same_key_for_another_endpoint_is_refused(paid: Gateway) -> None:
    paid.post("/v1/refunds", REFUND, key="k1")

    answer = paid.post("/v1/payment_intents", {"amount": "100", "currency": "gbp"}, key="k1")

    assert (answer.status, answer.error["type"]) == (400, "idempotency_error")
    assert "the same endpoint" in answer.error["message"]


def test_the_same_key_at_the_same_time_is_refused(paid: Gateway) -> None:
    slow = threading.Thread(target=lambda: paid.post("/v1/refunds", REFUND, key="k1", fault="slow=0.5"))
    slow.start()
    wait_until(paid.effects)

    answer = paid.post("/v1/refunds", REFUND, key="k1")
    slow.join()

    assert answer.status == 409
    assert answer.error["code"] == "idempotency_key_in_use"
    assert paid.post("/v1/refunds", REFUND, key="k1").status == 200
    assert len(paid.effects()) == 1


def test_many_at_once_with_one_key_have_one_effect(paid: Gateway) -> None:
    start = threading.Barrier(10)
    statuses: list[int] = []

    def refund() -> None:
        start.wait()
        statuses.append(paid.post("/v1/refunds", REFUND, key="k1").status)

    threads = [threading.Thread(target=refund) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    assert len(paid.effects()) == 1


def test_a_kept_refusal_is_repeated(paid: Gateway) -> None:
    paid.post("/v1/refunds", {"charge": "ch_536365"})
    first = paid.post("/v1/refunds", REFUND, key="k1")
    paid.fail(paid.effects()[0]["refund"])

    again = paid.post("/v1/refunds", REFUND, key="k1")

    assert (first.status, again.status) == (400, 400)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_refusal_before_the_work_began_is_not_kept(paid: Gateway) -> None:
    assert paid.post("/v1/refunds", {"charge": "ch_536365", "amount": "x"}, key="k1").status == 400

    assert paid.post("/v1/refunds", REFUND, key="k1").status == 200


@pytest.mark.parametrize("fault", ["429", "503", "lost_before"])
def test_what_happened_at_the_door_is_not_kept(paid: Gateway, fault: str) -> None:
    paid.fault(fault)
    if fault == "lost_before":
        with pytest.raises(ConnectionError):
            paid.post("/v1/refunds", REFUND, key="k1")
    else:
        assert paid.post("/v1/refunds", REFUND, key="k1").status == int(fault)
    assert paid.effects() == []

    assert paid.post("/v1/refunds", REFUND, key="k1").status == 200


@pytest.mark.parametrize(("fault", "effects"), [("500_before", 0), ("500_after", 1)])
def test_stripe_repeats_even_a_500_and_does_nothing_more(paid: Gateway, fault: str, effects: int) -> None:
    paid.fault(fault)

    statuses = [paid.post("/v1/refunds", REFUND, key="k1").status for _ in range(3)]

    assert statuses == [500, 500, 500]
    assert len(paid.effects()) == effects


@pytest.mark.parametrize(("fault", "effects"), [("500_before", 1), ("500_after", 2)])
def test_keys_for_successes_only_let_a_500_be_done_again(paid: Gateway, fault: str, effects: int) -> None:
    paid.behave(key_mode="2xx-only")
    paid.fault(fault)

    statuses = [paid.post("/v1/refunds", REFUND, key="k1").status for _ in range(3)]

    assert statuses == [500, 200, 200]
    assert len(paid.effects()) == effects


def test_a_gateway_without_keys_does_it_each_time(paid: Gateway) -> None:
    paid.behave(key_mode="none")

    for _ in range(2):
        assert paid.post("/v1/refunds", REFUND, key="k1").status == 200

    assert [effect["idempotency_key"] for effect in paid.effects()] == ["k1", "k1"]


def test_a_key_lives_for_a_day(paid: Gateway) -> None:
    paid.post("/v1/refunds", REFUND, key="k1")

    paid.age_keys(24 * 3_600 - 60)
    paid.post("/v1/refunds", REFUND, key="k1")
    assert len(paid.effects()) == 1

    paid.age_keys(120)
    paid.post("/v1/refunds", REFUND, key="k1")
    assert len(paid.effects()) == 2


def test_the_mode_can_be_chosen_at_the_start(start_gateway) -> None:
    gateway = start_gateway("--key-mode", "none")
    gateway.seed([PAYMENT])
    gateway.behave(key_mode="stripe-v1")
    gateway.behave_well()

    for _ in range(2):
        gateway.post("/v1/refunds", REFUND, key="k1")

    assert len(gateway.effects()) == 2


def test_reading_needs_no_key_and_keeps_nothing(paid: Gateway) -> None:
    before = paid.get("/v1/charges/ch_536365", key="k1").json["amount_refunded"]
    paid.post("/v1/refunds", REFUND, key="k1")

    assert before == 0
    assert paid.get("/v1/charges/ch_536365", key="k1").json["amount_refunded"] == 1_000


def test_a_slow_answer_comes_after_the_effect(paid: Gateway) -> None:
    began = time.monotonic()

    answer = paid.post("/v1/refunds", REFUND, fault="slow=0.3")

    assert answer.status == 200
    assert time.monotonic() - began >= 0.3
