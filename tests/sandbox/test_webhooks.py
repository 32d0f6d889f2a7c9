"""Webhooks, judged by Stripe's own code: signed, repeated, late, doubled, dropped, sent again."""

import json
import time

import pytest
import stripe

from tests.plugins.sandbox import Gateway, wait_until
from tests.sandbox.conftest import PAYMENT, SECRET, Listener


def refund(gateway: Gateway, amount: int = 1_000, **headers: str) -> dict[str, object]:
    return dict(gateway.post("/v1/refunds", {"charge": "ch_536365", "amount": amount}, **headers).json)


@pytest.fixture
def paid(told: Gateway) -> Gateway:
    told.seed([PAYMENT])
    return told


def test_a_refund_is_announced_with_a_signature_that_holds(paid: Gateway, listener: Listener) -> None:
    answer = refund(paid, key="k1")

    created, refunded = sorted(listener.wait_for(2), key=lambda event: event.type, reverse=True)
    assert (created.type, refunded.type) == ("refund.created", "charge.refunded")
    assert created.data.object.to_dict() == answer
    assert refunded.data.object["amount_refunded"] == 1_000
    assert refunded.data.previous_attributes["amount_refunded"] == 0
    assert created.request.idempotency_key == "k1"


def test_the_signature_covers_the_body(paid: Gateway, listener: Listener) -> None:
    refund(paid)
    listener.wait_for(2)
    header, body = listener.heard[0]

    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body.replace(b"1000", b"9000"), header, SECRET)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, header, "whsec_other")


def test_a_late_failure_is_announced(paid: Gateway, listener: Listener) -> None:
    answer = refund(paid)
    listener.wait_for(2)

    paid.fail(str(answer["id"]), "declined")

    listener.wait_for(4)
    assert sorted(listener.kinds()[2:]) == ["refund.failed", "refund.updated"]
    failed = next(event for event in listener.events() if event.type == "refund.failed")
    assert failed.data.object["status"] == "failed"
    assert failed.data.object["failure_reason"] == "declined"


def test_settling_and_changed_metadata_are_announced(paid: Gateway, listener: Listener) -> None:
    answer = refund(paid, fault="pending")
    listener.wait_for(2)

    paid.settle(str(answer["id"]))
    listener.wait_for(3)
    paid.post(f"/v1/refunds/{answer['id']}", {"metadata[case]": "7"})
    events = listener.wait_for(4)

    assert [event.type for event in events[2:]] == ["refund.updated", "refund.updated"]
    assert events[2].data.previous_attributes["status"] == "pending"
    assert events[3].data.object["metadata"]["case"] == "7"


def test_replays_refusals_and_failures_announce_nothing(paid: Gateway, listener: Listener) -> None:
    refund(paid, key="k1")
    refund(paid, key="k1")
    refund(paid, amount=20_000)
    refund(paid, fault="500_before")
    listener.wait_for(2)

    refund(paid, fault="500_after")

    listener.wait_for(4)
    time.sleep(0.1)
    assert len(listener.heard) == 4


def test_a_refused_delivery_is_repeated_with_a_fresh_signature(paid: Gateway, listener: Listener) -> None:
    paid.webhooks(events=["refund.created"])
    listener.statuses += [500]

    refund(paid)

    first, second = listener.wait_for(2)
    assert first.id == second.id
    assert listener.heard[0][0] != listener.heard[1][0]
    wait_until(lambda: paid.webhooks()["deliveries"] == {"delivered": 1})


def test_events_can_come_twice(paid: Gateway, listener: Listener) -> None:
    paid.webhooks(duplicates=1)

    refund(paid)

    ids = [event.id for event in listener.wait_for(4)]
    assert len(set(ids)) == 2


def test_events_can_come_late_and_out_of_order(paid: Gateway, listener: Listener) -> None:
    paid.webhooks(delay=0.4, seed=3, events=["refund.created"])
    made = [refund(paid, amount=1 + number)["id"] for number in range(12)]

    heard = [event.data.object["id"] for event in listener.wait_for(12)]

    assert sorted(heard) == sorted(made)
    assert heard != made


def test_events_can_be_dropped_and_sent_again(paid: Gateway, listener: Listener) -> None:
    paid.webhooks(drop=1)
    refund(paid)
    events = paid.get("/v1/events").json["data"]
    assert {event["type"] for event in events} == {"charge.refunded", "refund.created"}

    paid.webhooks(drop=0)
    paid.control(f"events/{events[0]['id']}/send-again")

    assert [event.id for event in listener.wait_for(1)] == [events[0]["id"]]
    assert paid.webhooks()["deliveries"] == {"dropped": 2, "delivered": 1}


def test_the_post_can_be_held_back(paid: Gateway, listener: Listener) -> None:
    paid.webhooks(paused=True)
    refund(paid)
    time.sleep(0.1)
    assert listener.heard == []

    paid.webhooks(paused=False)

    listener.wait_for(2)


def test_the_list_of_events_is_what_was_sent(paid: Gateway, listener: Listener, client: stripe.StripeClient) -> None:
    refund(paid)
    sent = {event.id: event.to_dict() for event in listener.wait_for(2)}

    listed = client.v1.events.list({"type": "refund.created"})

    assert [event.to_dict() for event in listed] == [
        event for event in sent.values() if event["type"] == "refund.created"
    ]
    assert client.v1.events.retrieve(next(iter(sent))).id in sent


def test_what_was_not_delivered_survives_a_kill(start_gateway, listener: Listener) -> None:
    gateway = start_gateway("--webhook-url", listener.url, "--webhook-secret", SECRET)
    gateway.webhooks(paused=True)
    gateway.seed([PAYMENT])
    gateway.post("/v1/refunds", {"charge": "ch_536365", "amount": 1}, fault="fails_later=0.3")

    gateway.kill()
    gateway.start()

    listener.wait_for(4)
    assert sorted(listener.kinds()) == ["charge.refunded", "refund.created", "refund.failed", "refund.updated"]
    assert [effect["kind"] for effect in gateway.effects()] == ["refund", "refund_failed"]


def test_nobody_listening_keeps_the_post_waiting(gateway: Gateway) -> None:
    gateway.webhooks(url="http://127.0.0.1:9/hooks", secret=SECRET)
    gateway.seed([PAYMENT])

    refund(gateway)

    assert wait_until(lambda: gateway.webhooks()["deliveries"]) == {"pending": 2}


def test_a_webhook_url_needs_a_secret(start_gateway) -> None:
    with pytest.raises(AssertionError, match="needs --webhook-secret"):
        start_gateway("--webhook-url", "http://127.0.0.1:9/")


def test_bodies_are_plain_json(paid: Gateway, listener: Listener) -> None:
    refund(paid)
    listener.wait_for(2)

    assert {json.loads(body)["object"] for _, body in listener.heard} == {"event"}
