"""The connector against the demonstration gateway, which can also be told to misbehave (D2, D4, D5)."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from integrations.connectors.stripe.connector import StripeGateway
from integrations.errors import CallFailed
from integrations.http import Limits
from integrations.models import Connection, Endpoint
from integrations.secrets import encrypt
from integrations.signatures import verify
from opsdesk.lib import clock
from tests.integrations import contract
from tests.integrations.contract import pounds
from tests.integrations.scripted import ScriptedServer, answer
from tests.plugins.sandbox import Gateway, wait_until
from workflows.registry import readers
from workflows.states import FailureKind

PAYMENT = {
    "id": "pi_536365",
    "charge": "ch_536365",
    "amount": 10_000,
    "currency": "GBP",
    "created": "2011-03-01T09:30:00",
    "customer": "17548",
    "metadata": {"order": "536365"},
}
SECRET = "whsec_b2YgdGhlIHNhbmRib3g="
Connect = Callable[..., Connection]


@pytest.fixture
def stripe(gateway: Gateway, connect: Connect) -> StripeGateway:
    gateway.seed([PAYMENT])
    return StripeGateway(connect(gateway.url, secret=gateway.api_key), limits=Limits(connect=1, read=0.5, total=1))


def effects(gateway: Gateway) -> int:
    return sum(effect["kind"] == "refund" for effect in gateway.effects())


@pytest.mark.parametrize("promise", contract.ALL, ids=lambda promise: promise.__name__)
def test_the_promises_of_the_dialect(promise: Callable[[StripeGateway, str], None], stripe: StripeGateway):
    promise(stripe, "pi_536365")


def test_what_does_not_exist_is_a_failure_of_data(stripe: StripeGateway):
    contract.what_does_not_exist_is_a_failure_of_data(stripe, "pi_nobody")


def test_without_a_key_nobody_is_let_in(gateway: Gateway, stripe: StripeGateway, connect: Connect):
    stranger = StripeGateway(connect(gateway.url, secret="rk_wrong"))

    contract.without_a_key_nobody_is_let_in(stranger, "pi_536365")


def test_order_customer_and_time_of_a_payment_are_the_shops(stripe: StripeGateway):
    seen = stripe.payment("pi_536365")

    assert (seen.order, seen.customer) == ("536365", "17548")
    assert seen.created_at.year == 2011


def test_the_charge_of_an_intent_is_refused_as_a_second_name(stripe: StripeGateway):
    with pytest.raises(CallFailed, match="belongs to payment pi_536365"):
        stripe.payment("ch_536365")


def test_a_refund_on_the_second_page_is_found(gateway: Gateway, stripe: StripeGateway):
    key = uuid.uuid4()
    stripe.refund(payment="pi_536365", amount=pounds("0.01"), key=key, case="CASE-7")
    for _ in range(120):
        stripe.refund(payment="pi_536365", amount=pounds("0.01"), key=uuid.uuid4(), case="CASE-8")

    assert stripe.find_refund(payment="pi_536365", key=key) is not None
    assert len(stripe.refunds_of("pi_536365")) == 121


AFTER_THE_EFFECT = ["lost_after", "reset_mid_body", "500_after"]
BEFORE_THE_EFFECT = ["lost_before", "503", "503=2"]


@pytest.mark.parametrize("fault", AFTER_THE_EFFECT)
def test_an_effect_without_an_answer_is_found_again_and_not_repeated(
    fault: str, gateway: Gateway, stripe: StripeGateway
):
    key = uuid.uuid4()
    gateway.fault(fault, method="POST")

    failed = contract.refusal_of_a_refund(stripe, "pi_536365", "10.00", key)

    assert failed.effect_possible
    wait_until(lambda: stripe.find_refund(payment="pi_536365", key=key))
    if fault != "500_after":
        again = stripe.refund(payment="pi_536365", amount=pounds("10.00"), key=key, case="CASE-7")
        assert again == stripe.find_refund(payment="pi_536365", key=key)
    assert effects(gateway) == 1


def test_a_call_that_is_still_going_on_is_waited_for(gateway: Gateway, stripe: StripeGateway):
    key = uuid.uuid4()
    gateway.fault("slow=1", method="POST")

    late = contract.refusal_of_a_refund(stripe, "pi_536365", "10.00", key)
    meanwhile = contract.refusal_of_a_refund(stripe, "pi_536365", "10.00", key)

    assert (late.kind, late.effect_possible) == (FailureKind.TRANSIENT, True)
    assert (meanwhile.kind, meanwhile.effect_possible) == (FailureKind.TRANSIENT, True)
    assert meanwhile.call is not None
    assert meanwhile.call.status == 409
    assert stripe.find_refund(payment="pi_536365", key=key) is not None
    assert effects(gateway) == 1


@pytest.mark.parametrize("fault", BEFORE_THE_EFFECT)
def test_a_call_that_never_arrived_is_repeated_under_the_same_key(fault: str, gateway: Gateway, stripe: StripeGateway):
    key = uuid.uuid4()
    gateway.fault(fault, method="POST")

    failed = contract.refusal_of_a_refund(stripe, "pi_536365", "10.00", key)

    assert failed.effect_possible
    assert stripe.find_refund(payment="pi_536365", key=key) is None
    stripe.refund(payment="pi_536365", amount=pounds("10.00"), key=key, case="CASE-7")
    assert effects(gateway) == 1


def test_an_effect_that_comes_after_the_connection_broke_is_still_one(gateway: Gateway, stripe: StripeGateway):
    key = uuid.uuid4()
    gateway.fault("effect_later=0.2", method="POST")
    failed = contract.refusal_of_a_refund(stripe, "pi_536365", "10.00", key)

    wait_until(lambda: effects(gateway))
    again = stripe.refund(payment="pi_536365", amount=pounds("10.00"), key=key, case="CASE-7")

    assert failed.effect_possible
    assert again.key == key
    assert effects(gateway) == 1


def test_a_repeated_500_says_that_only_a_look_up_helps(gateway: Gateway, stripe: StripeGateway):
    key = uuid.uuid4()
    gateway.fault("500_before", method="POST")
    first = contract.refusal_of_a_refund(stripe, "pi_536365", "10.00", key)
    second = contract.refusal_of_a_refund(stripe, "pi_536365", "10.00", key)

    assert (first.kind, first.effect_possible) == (FailureKind.TRANSIENT, True)
    assert (second.kind, second.effect_possible) == (FailureKind.DATA, True)
    assert "repeats the error" in second.message
    assert stripe.find_refund(payment="pi_536365", key=key) is None
    assert effects(gateway) == 0


def test_our_key_ends_before_the_gateways(gateway: Gateway, stripe: StripeGateway):
    key = uuid.uuid4()
    stripe.refund(payment="pi_536365", amount=pounds("10.00"), key=key, case="CASE-7")
    gateway.age_keys(stripe.operations[0].idempotency.key_life.total_seconds())
    stripe.refund(payment="pi_536365", amount=pounds("10.00"), key=key, case="CASE-7")
    assert effects(gateway) == 1

    gateway.age_keys(timedelta(hours=1, seconds=1).total_seconds())
    stripe.refund(payment="pi_536365", amount=pounds("10.00"), key=key, case="CASE-7")
    assert effects(gateway) == 2, "a day later the gateway has forgotten the key: only a look-up is safe"


@pytest.mark.parametrize("fault", ["429=3", "429=date:3"])
def test_too_many_calls_tell_when_to_come_again_and_had_no_effect(fault: str, gateway: Gateway, stripe: StripeGateway):
    gateway.fault(fault, method="POST")

    failed = contract.refusal_of_a_refund(stripe, "pi_536365", "10.00")

    assert (failed.kind, failed.effect_possible) == (FailureKind.TRANSIENT, False)
    assert failed.retry_after is not None
    # A date has whole seconds only.
    assert timedelta(seconds=2) <= failed.retry_after <= timedelta(seconds=4)
    assert effects(gateway) == 0


def test_a_wrong_amount_is_told_as_it_is(gateway: Gateway, stripe: StripeGateway):
    gateway.fault("wrong_amount=-1", method="POST")

    receipt = stripe.refund(payment="pi_536365", amount=pounds("10.00"), key=uuid.uuid4(), case="CASE-7")

    assert receipt.amount == pounds("9.99")


def test_an_answer_that_lies_is_uncovered_by_reading_back(gateway: Gateway, stripe: StripeGateway):
    gateway.fault("wrong_answer=-1", method="POST")

    receipt = stripe.refund(payment="pi_536365", amount=pounds("10.00"), key=uuid.uuid4(), case="CASE-7")

    assert receipt.amount == pounds("9.99")
    assert stripe.retrieve_refund(receipt.reference).amount == pounds("10.00")


def test_a_refund_waits_arrives_or_comes_back(gateway: Gateway, stripe: StripeGateway):
    gateway.fault("pending", method="POST")
    waiting = stripe.refund(payment="pi_536365", amount=pounds("10.00"), key=uuid.uuid4(), case="CASE-7")
    states = [waiting.status]
    gateway.settle(waiting.reference)
    states.append(stripe.retrieve_refund(waiting.reference).status)
    gateway.fail(waiting.reference)
    states.append(stripe.retrieve_refund(waiting.reference).status)

    assert states == ["pending", "succeeded", "failed"]
    assert stripe.payment("pi_536365").refunded == pounds("0.00")


def test_a_refund_past_the_desk_is_seen_and_is_not_ours(gateway: Gateway, stripe: StripeGateway):
    gateway.refund_in_the_dashboard("pi_536365", 2_500)

    (receipt,) = stripe.refunds_of("pi_536365")

    assert (receipt.amount, receipt.key) == (pounds("25.00"), None)
    assert stripe.payment("pi_536365").refunded == pounds("25.00")


def test_its_webhooks_are_signed_as_the_scheme_says_and_can_be_read(gateway: Gateway, stripe: StripeGateway):
    desk = ScriptedServer().plays(answer())
    gateway.webhooks(url=f"{desk.url}/hooks/", secret=SECRET)
    stripe.refund(payment="pi_536365", amount=pounds("10.00"), key=uuid.uuid4(), case="CASE-7")
    wait_until(lambda: len(desk.requests) >= 2)
    gateway.webhooks(url=None, secret=SECRET)
    desk.close()

    endpoint = Endpoint(scheme=Endpoint.Scheme.STRIPE, secret=encrypt(SECRET))
    types = set()
    for request in desk.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
        verify(endpoint, {name.lower(): value for name, _, value in lines}, body, clock.now())
        reading = readers["stripe"](body)
        types.add(reading.type)
        assert "pi_536365" in {reading.data["object"]["payment_intent"], reading.data["object"]["id"]}
    assert {"charge.refunded", "refund.created"} <= types
