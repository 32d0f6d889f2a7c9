"""Payment intents and charges, read and made by Stripe's own client."""

import pytest
import stripe

from tests.plugins.sandbox import Gateway
from tests.sandbox.conftest import PAYMENT


def test_a_payment_is_read_with_its_charge_inside(paid: Gateway, client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.retrieve("pi_536365", params={"expand": ["latest_charge"]})

    assert (intent.amount, intent.currency, intent.status) == (10_000, "gbp", "succeeded")
    assert intent.created == 1_298_971_800
    assert intent.metadata.to_dict() == {"order": "536365"}
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.id == "ch_536365"
    assert intent.latest_charge.amount_refunded == 0


def test_expansions_may_be_numbered(paid: Gateway) -> None:
    answer = paid.get("/v1/refunds?expand[0]=data.charge&expand[1]=data.payment_intent.latest_charge")

    assert answer.status == 200


def test_without_expanding_the_charge_is_an_identifier(paid: Gateway, client: stripe.StripeClient) -> None:
    assert client.v1.payment_intents.retrieve("pi_536365").latest_charge == "ch_536365"


@pytest.mark.parametrize("read", ["payment_intents", "charges", "refunds", "events", "customers"])
def test_what_is_not_there_is_missing_in_the_words_of_stripe(
    gateway: Gateway, client: stripe.StripeClient, read: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        getattr(client.v1, read).retrieve("xx_nowhere")

    assert refusal.value.http_status == 404
    assert refusal.value.code == "resource_missing"
    assert refusal.value.request_id.startswith("req_")


def test_a_customer_who_was_seeded_can_be_read(gateway: Gateway, client: stripe.StripeClient) -> None:
    gateway.seed([], customers=[{"id": "cus_1", "name": "Zoë", "email": "z@example.org"}])

    assert client.v1.customers.retrieve("cus_1").name == "Zoë"


def test_paying_takes_the_money_at_once(gateway: Gateway, client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(
        {"amount": 2_500, "currency": "eur", "confirm": True, "payment_method": "pm_card_visa"}
    )

    assert intent.status == "succeeded"
    assert intent.amount_received == 2_500
    charge = client.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.payment_intent, charge.amount_captured, charge.captured) == (intent.id, 2_500, True)


def test_a_held_payment_is_captured_in_part(gateway: Gateway, client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(
        {"amount": 2_500, "currency": "eur", "capture_method": "manual", "payment_method": "pm_card_visa"}
    )
    held = client.v1.payment_intents.confirm(intent.id)
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 2_500, 0)

    taken = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 2_000})

    assert (taken.status, taken.amount_received) == ("succeeded", 2_000)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 2_001})


def test_an_unpaid_payment_can_be_canceled_but_not_refunded(gateway: Gateway, client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create({"amount": 2_500, "currency": "eur"})

    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.refunds.create({"payment_intent": intent.id})

    assert refusal.value.code == "payment_intent_unexpected_state"
    assert client.v1.payment_intents.cancel(intent.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert gateway.effects() == []


def test_lists_page_through_everything_once(gateway: Gateway, client: stripe.StripeClient) -> None:
    # Several share a second: the order must be stable all the same.
    gateway.seed([PAYMENT | {"id": f"pi_{n}", "charge": f"ch_{n}", "created": 1_000 + n // 3} for n in range(25)])

    page = client.v1.payment_intents.list({"limit": 10})
    found = [intent.id for intent in page.auto_paging_iter()]

    assert [len(page.data), page.has_more] == [10, True]
    assert found == [f"pi_{n}" for n in reversed(range(25))]


def test_pages_go_backwards_too(gateway: Gateway, client: stripe.StripeClient) -> None:
    gateway.seed([PAYMENT | {"id": f"pi_{n}", "charge": f"ch_{n}", "created": n + 1} for n in range(6)])

    page = client.v1.payment_intents.list({"limit": 2, "ending_before": "pi_2"})

    assert [intent.id for intent in page.data] == ["pi_4", "pi_3"]


def test_lists_filter_by_time_customer_and_payment(gateway: Gateway, client: stripe.StripeClient) -> None:
    gateway.seed(
        [
            PAYMENT | {"id": "pi_1", "charge": "ch_1", "created": 100, "customer": "cus_a"},
            PAYMENT | {"id": "pi_2", "charge": "ch_2", "created": 200, "customer": "cus_b"},
        ]
    )

    late = client.v1.payment_intents.list({"created": {"gte": 150}})
    theirs = client.v1.payment_intents.list({"customer": "cus_a"})
    charges = client.v1.charges.list({"payment_intent": "pi_2", "expand": ["data.payment_intent"]})

    assert [intent.id for intent in late] == ["pi_2"]
    assert [intent.id for intent in theirs] == ["pi_1"]
    assert [charge.payment_intent["id"] for charge in charges] == ["pi_2"]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({}, "amount", "parameter_missing"),
        ({"amount": "100"}, "currency", "parameter_missing"),
        ({"amount": "1.5", "currency": "gbp"}, "amount", "parameter_invalid_integer"),
        ({"amount": "0", "currency": "gbp"}, "amount", "parameter_invalid_integer"),
        ({"amount": "100", "currency": "pounds"}, "currency", None),
        ({"amount": "100", "currency": "gbp", "colour": "red"}, "colour", "parameter_unknown"),
        ({"amount": "100", "currency": "gbp", "customer": "cus_nobody"}, "customer", "resource_missing"),
        ({"amount": "100", "currency": "gbp", "description": ""}, "description", "parameter_invalid_empty"),
    ],
)
def test_a_broken_parameter_is_named(gateway: Gateway, fields: dict[str, str], param: str, code: str | None) -> None:
    answer = gateway.post("/v1/payment_intents", fields)

    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    assert (answer.error["param"], answer.error.get("code")) == (param, code)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=101", "limit"),
        ("limit=0", "limit"),
        ("starting_after=pi_nobody", "starting_after"),
        ("expand[]=data.nonsense", "expand"),
        ("expand[]=latest_charge", "expand"),
        ("created[since]=5", "created"),
    ],
)
def test_a_broken_list_wish_is_named(paid: Gateway, query: str, param: str) -> None:
    answer = paid.get(f"/v1/payment_intents?{query}")

    assert (answer.status, answer.error["param"]) == (400, param)


def test_an_unknown_address_is_said_to_be_one(gateway: Gateway) -> None:
    answer = gateway.get("/v1/balloons/1")

    assert answer.status == 404
    assert "Unrecognized request URL (GET: /v1/balloons/1)" in answer.error["message"]


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer pk_test_1", "Basic !!!", "Digest sk_test_1"])
def test_nobody_is_let_in_without_a_secret_key(paid: Gateway, header: str) -> None:
    answer = paid.get("/v1/payment_intents/pi_536365", Authorization=header)

    assert answer.status == 401
    assert answer.error["type"] == "invalid_request_error"


def test_the_key_may_come_as_basic_auth_and_may_be_the_only_one(start_gateway) -> None:
    gateway = start_gateway("--api-key", "sk_test_opsdesk")
    basic = "Basic c2tfdGVzdF9vcHNkZXNrOg=="  # sk_test_opsdesk:

    assert gateway.get("/v1/refunds", Authorization=basic).status == 200
    assert gateway.get("/v1/refunds", Authorization="Bearer sk_test_other").status == 401
