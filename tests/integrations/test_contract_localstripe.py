"""The connector against localstripe, which others wrote. It is lax about money and keys: the desk must not be."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from integrations.connectors.stripe.connector import StripeGateway
from integrations.errors import CallFailed
from integrations.models import Connection, Endpoint
from integrations.secrets import encrypt
from integrations.signatures import verify
from opsdesk.lib import clock
from tests.integrations import contract, outsiders
from tests.integrations.contract import pounds
from tests.integrations.scripted import ScriptedServer, answer
from tests.plugins.sandbox import wait_until
from workflows.registry import readers
from workflows.states import FailureKind

pytestmark = pytest.mark.contract("localstripe")
SECRET = "whsec_of_localstripe"


@pytest.fixture(scope="module")
def local() -> Iterator[str]:
    with outsiders.localstripe() as url:
        yield url


@pytest.fixture
def stripe(local: str, connect: Callable[..., Connection]) -> StripeGateway:
    return StripeGateway(connect(local, secret=outsiders.API_KEY))


@pytest.fixture
def payment(local: str) -> str:
    return pay(local)


def pay(local: str) -> str:
    """Take £100.00 from a card, as the shop does."""
    card = {"card[number]": "4242424242424242", "card[exp_month]": 12, "card[exp_year]": 2040, "card[cvc]": "123"}
    method = outsiders.post(local, "/v1/payment_methods", {"type": "card", **card})["id"]
    customer = outsiders.post(local, "/v1/customers", {"email": "ada@shop.test"})["id"]
    outsiders.post(local, f"/v1/payment_methods/{method}/attach", {"customer": customer})
    wish = {"amount": 10_000, "currency": "gbp", "payment_method": method, "customer": customer, "confirm": "true"}
    intent = outsiders.post(local, "/v1/payment_intents", {**wish, "metadata[order]": "536365"})
    return str(intent["id"])


@pytest.mark.parametrize(
    "promise",
    [contract.a_payment_is_read, contract.parts_are_refunded_and_read_back, contract.a_refund_is_found_by_its_key],
    ids=lambda promise: promise.__name__,
)
def test_the_promises_of_the_dialect_that_it_keeps(
    promise: Callable[[StripeGateway, str], None], stripe: StripeGateway, payment: str
):
    promise(stripe, payment)


def test_what_does_not_exist_is_a_failure_of_data(stripe: StripeGateway):
    contract.what_does_not_exist_is_a_failure_of_data(stripe, "pi_nobody")


def test_without_a_key_nobody_is_let_in(local: str, connect: Callable[..., Connection], payment: str):
    contract.without_a_key_nobody_is_let_in(StripeGateway(connect(local, secret="")), payment)


def test_it_ignores_idempotency_keys_and_the_connector_notices_the_second_refund(stripe: StripeGateway, payment: str):
    key = uuid.uuid4()
    receipts = [stripe.refund(payment=payment, amount=pounds("5.00"), key=key, case="CASE-7") for _ in range(2)]
    assert receipts[0].reference != receipts[1].reference, "localstripe has learnt about keys: expect one refund here"

    with pytest.raises(CallFailed, match="two refunds") as failed:
        stripe.find_refund(payment=payment, key=key)

    assert (failed.value.kind, failed.value.effect_possible) == (FailureKind.DATA, True)


def test_it_refunds_more_than_was_paid_and_the_connector_tells_it_as_it_is(stripe: StripeGateway, payment: str):
    receipt = stripe.refund(payment=payment, amount=pounds("100.01"), key=uuid.uuid4(), case="CASE-7")

    seen = stripe.payment(payment)
    assert receipt.status == "succeeded", "localstripe has learnt to count: expect a refusal here"
    assert seen.refunded == pounds("100.01")
    assert seen.captured < seen.refunded


def test_its_webhooks_are_signed_as_the_scheme_says_and_can_be_read(local: str):
    desk = ScriptedServer().plays(answer())
    wish = {"url": f"{desk.url}/hooks/", "secret": SECRET, "events[]": "payment_intent.succeeded"}
    outsiders.post(local, "/_config/webhooks/desk", wish)
    payment = pay(local)
    wait_until(lambda: any(payment.encode() in request for request in desk.requests))
    desk.close()

    head, _, body = next(request for request in desk.requests if payment.encode() in request).partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
    headers = {name.lower(): value for name, _, value in lines}
    endpoint = Endpoint(scheme=Endpoint.Scheme.STRIPE, secret=encrypt(SECRET))
    assert verify(endpoint, headers, body, clock.now())
    reading = readers["stripe"](body)
    assert reading.type == "payment_intent.succeeded"
    assert reading.data["object"]["id"] == payment
