"""The connector against stripe-stateful-mock, which others wrote. It knows charges only: payments are charges here."""

from collections.abc import Callable, Iterator

import pytest

from integrations.connectors.stripe.connector import StripeGateway
from integrations.errors import CallFailed
from integrations.models import Connection
from tests.integrations import contract, outsiders
from workflows.states import FailureKind

pytestmark = pytest.mark.contract("stripe-stateful-mock")


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with outsiders.stripe_stateful_mock() as url:
        yield url


@pytest.fixture
def stripe(mock: str, connect: Callable[..., Connection]) -> StripeGateway:
    return StripeGateway(connect(mock, secret=outsiders.API_KEY))


def pay(mock: str, source: str = "tok_visa", **fields: object) -> str:
    """Take £100.00 from a card, as the shop does."""
    wish = {"amount": 10_000, "currency": "gbp", "source": source, **fields}
    return str(outsiders.post(mock, "/v1/charges", wish)["id"])


@pytest.mark.parametrize("promise", contract.ALL, ids=lambda promise: promise.__name__)
def test_the_promises_of_the_dialect(promise: Callable[[StripeGateway, str], None], mock: str, stripe: StripeGateway):
    promise(stripe, pay(mock))


def test_what_does_not_exist_is_a_failure_of_data(stripe: StripeGateway):
    contract.what_does_not_exist_is_a_failure_of_data(stripe, "ch_nobody")


def test_a_money_taker_without_key_is_not_let_in(mock: str, connect: Callable[..., Connection]):
    contract.without_a_key_nobody_is_let_in(StripeGateway(connect(mock, secret="")), "ch_nobody")


def test_a_charge_that_was_only_authorized_has_nothing_to_refund(mock: str, stripe: StripeGateway):
    assert stripe.payment(pay(mock, capture="false")).captured == contract.pounds("0.00")


def test_it_has_no_payment_intents_and_that_is_a_failure_of_data(stripe: StripeGateway):
    with pytest.raises(CallFailed) as failed:
        stripe.payment("pi_536365")

    assert (failed.value.kind, failed.value.effect_possible) == (FailureKind.DATA, False)
    assert failed.value.call is not None
    assert failed.value.call.status == 404
