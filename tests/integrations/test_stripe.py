"""The Stripe connector and answers that are not what Stripe documents: a CallFailed each, never a crash."""

import copy
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.connectors.stripe.amounts import from_stripe, to_stripe
from integrations.connectors.stripe.connector import StripeGateway
from integrations.errors import CallFailed
from integrations.gateways import PaymentSeen, Receipt, gateway_of
from integrations.models import Connection
from opsdesk.lib.money import EXPONENTS, BadAmount, Money
from tests.integrations.scripted import Script, ScriptedServer, answer
from workflows.states import FailureKind

KEY = uuid.UUID("6f1c1a52-6f0e-4a3e-9f5d-3a1f0f1b2c3d")
CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "amount": 10_000,
    "amount_captured": 10_000,
    "amount_refunded": 2_500,
    "captured": True,
    "created": 1_777_627_800,
    "currency": "gbp",
    "customer": "cus_1",
    "metadata": {},
    "payment_intent": "pi_1",
    "status": "succeeded",
}
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 10_000,
    "created": 1_777_627_800,
    "currency": "gbp",
    "customer": "cus_1",
    "latest_charge": CHARGE,
    "metadata": {"order": "536365"},
    "status": "succeeded",
}
REFUND = {
    "id": "re_1",
    "object": "refund",
    "amount": 2_500,
    "charge": "ch_1",
    "created": 1_777_627_800,
    "currency": "gbp",
    "metadata": {"opsdesk_key": str(KEY), "case": "CASE-7"},
    "payment_intent": "pi_1",
    "status": "succeeded",
}
AT = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
Gone = object()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def gateway(server: ScriptedServer, connect: Callable[[str], Connection]) -> StripeGateway:
    return StripeGateway(connect(server.url))


def changed(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A document with other values; `latest_charge__amount` reaches inside."""
    document = copy.deepcopy(document)
    for name, value in changes.items():
        place, *rest = name.split("__")
        target = document[place] if rest else document
        last = rest[0] if rest else place
        if value is Gone:
            del target[last]
        else:
            target[last] = value
    return document


def page(*items: Any, more: Any = False) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "has_more": more}


def refund(gateway: StripeGateway, payment: str = "pi_1", amount: Money | None = None) -> Receipt:
    return gateway.refund(payment=payment, amount=amount or Money(2_500, "GBP"), key=KEY, case="CASE-7")


def test_the_protocol_is_registered(server: ScriptedServer, connect: Callable[[str], Connection]):
    assert isinstance(gateway_of(connect(server.url)), StripeGateway)


def test_a_payment_is_read(server: ScriptedServer, gateway: StripeGateway):
    server.plays(answer(INTENT))

    seen = gateway.payment("pi_1")

    expected = PaymentSeen("pi_1", Money(10_000, "GBP"), Money(2_500, "GBP"), "succeeded", "536365", "cus_1", AT)
    assert seen == expected
    assert server.requests[0].startswith(b"GET /v1/payment_intents/pi_1?expand%5B%5D=latest_charge ")


@pytest.mark.parametrize(
    "changes",
    [
        {"latest_charge": None, "status": "requires_payment_method"},
        {"latest_charge__captured": False, "status": "requires_capture"},
        {"latest_charge__status": "failed", "latest_charge__amount_refunded": 0},
    ],
)
def test_what_was_never_captured_leaves_nothing_to_refund(
    changes: dict[str, Any], server: ScriptedServer, gateway: StripeGateway
):
    server.plays(answer(changed(INTENT, **changes)))

    assert gateway.payment("pi_1").captured == Money(0, "GBP")


def test_the_shops_own_customer_number_comes_first(server: ScriptedServer, gateway: StripeGateway):
    server.plays(answer(changed(INTENT, metadata={"order": "1", "customer": "17548"}, customer={"id": "cus_1"})))

    assert gateway.payment("pi_1").customer == "17548"


def test_a_refund_is_sent_with_its_key_and_its_case(server: ScriptedServer, gateway: StripeGateway):
    server.plays(answer(REFUND))

    receipt = refund(gateway)

    assert receipt == Receipt("re_1", "pi_1", Money(2_500, "GBP"), "succeeded", AT, KEY, "CASE-7")
    head, _, body = server.requests[0].decode().partition("\r\n\r\n")
    assert f"Idempotency-Key: {KEY}\r\n" in head
    sent = f"payment_intent=pi_1&amount=2500&metadata%5Bopsdesk_key%5D={KEY}&metadata%5Bcase%5D=CASE-7"
    assert body == sent


@pytest.mark.parametrize(
    ("stripes", "ours"),
    [
        ("pending", "pending"),
        ("requires_action", "pending"),
        ("succeeded", "succeeded"),
        ("failed", "failed"),
        ("canceled", "failed"),
    ],
)
def test_the_states_of_a_refund(stripes: str, ours: str, server: ScriptedServer, gateway: StripeGateway):
    server.plays(answer(changed(REFUND, status=stripes)))

    assert gateway.retrieve_refund("re_1").status == ours


def test_another_amount_is_told_as_the_gateway_tells_it(server: ScriptedServer, gateway: StripeGateway):
    server.plays(answer(changed(REFUND, amount=2_499)))

    assert refund(gateway).amount == Money(2_499, "GBP")


ODD_REFUNDS: dict[str, dict[str, Any]] = {
    "another currency": {"currency": "eur"},
    "no currency": {"currency": Gone},
    "unknown currency": {"currency": "xxx"},
    "currency as number": {"currency": 826},
    "no amount": {"amount": Gone},
    "amount as text": {"amount": "2500"},
    "amount as fraction": {"amount": 25.5},
    "amount as truth": {"amount": True},
    "negative amount": {"amount": -2500},
    "enormous amount": {"amount": 10**18},
    "no id": {"id": Gone},
    "empty id": {"id": ""},
    "id as number": {"id": 1},
    "unknown state": {"status": "lost"},
    "no state": {"status": None},
    "state as list": {"status": ["succeeded"]},
    "another payment": {"payment_intent": "pi_2"},
    "no payment": {"payment_intent": None, "charge": None},
    "payment as list": {"payment_intent": ["pi_1"], "charge": None},
    "no time": {"created": Gone},
    "time as text": {"created": "2026-05-01"},
    "enormous time": {"created": 10**20},
    "metadata as text": {"metadata": "x"},
    "another object": {"object": "charge"},
    "no object": {"object": Gone},
}


@pytest.mark.parametrize("changes", ODD_REFUNDS.values(), ids=ODD_REFUNDS)
def test_an_odd_answer_to_a_refund_leaves_its_effect_open(
    changes: dict[str, Any], server: ScriptedServer, gateway: StripeGateway
):
    server.plays(answer(changed(REFUND, **changes)))

    with pytest.raises(CallFailed) as failed:
        refund(gateway)

    assert failed.value.effect_possible
    assert failed.value.kind == FailureKind.TRANSIENT
    assert gateway.calls[0].outcome == "transient"
    assert gateway.calls[0].status == 200


ODD_PAYMENTS: dict[str, dict[str, Any]] = {
    "another payment": {"id": "pi_2"},
    "another object": {"object": "setup_intent"},
    "charge not expanded": {"latest_charge": "ch_1"},
    "charge in another currency than known": {"latest_charge__currency": "zzz"},
    "captured as text": {"latest_charge__amount_captured": "10000"},
    "refunded is missing": {"latest_charge__amount_refunded": Gone},
    "no state": {"status": Gone},
    "no time": {"created": None},
    "customer as number": {"customer": 17548},
    "metadata as list": {"metadata": ["x"]},
}


@pytest.mark.parametrize("changes", ODD_PAYMENTS.values(), ids=ODD_PAYMENTS)
def test_an_odd_answer_about_a_payment_is_a_failed_call(
    changes: dict[str, Any], server: ScriptedServer, gateway: StripeGateway
):
    server.plays(answer(changed(INTENT, **changes)))

    with pytest.raises(CallFailed) as failed:
        gateway.payment("pi_1")

    assert (failed.value.kind, failed.value.effect_possible) == (FailureKind.TRANSIENT, False)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"object": "list"},
        page("re_1"),
        {**page(), "has_more": "no"},
        {**page(), "data": {}},
        page(more=True),
        page({}, more=True),
    ],
)
def test_an_odd_list_is_a_failed_call(document: dict[str, Any], server: ScriptedServer, gateway: StripeGateway):
    server.plays(answer(document))

    with pytest.raises(CallFailed):
        gateway.find_refund(payment="pi_1", key=KEY)


def test_a_refund_is_found_by_its_key_on_a_later_page(server: ScriptedServer, gateway: StripeGateway):
    others = [changed(REFUND, id=f"re_{number}", metadata={}) for number in range(100, 200)]
    ours = changed(REFUND, id="re_ours")
    server.plays(answer(page(*others, more=True)), answer(page(ours, others[0])))

    found = gateway.find_refund(payment="pi_1", key=KEY)

    assert found is not None
    assert found.reference == "re_ours"
    assert b"starting_after=re_199" in server.requests[1]
    assert len(gateway.calls) == 2


def test_a_key_of_somebody_else_is_not_ours(server: ScriptedServer, gateway: StripeGateway):
    others = [
        changed(REFUND, metadata=metadata)
        for metadata in ({}, {"opsdesk_key": "x"}, {"opsdesk_key": str(uuid.uuid4())})
    ]
    server.plays(answer(page(*others)))

    assert gateway.find_refund(payment="pi_1", key=KEY) is None


def test_an_odd_refund_of_somebody_else_does_not_hide_ours(server: ScriptedServer, gateway: StripeGateway):
    server.plays(answer(page({"id": "re_odd"}, REFUND)))

    found = gateway.find_refund(payment="pi_1", key=KEY)

    assert found is not None


def test_two_refunds_under_one_key_are_for_people_and_certainly_an_effect(
    server: ScriptedServer, gateway: StripeGateway
):
    server.plays(answer(page(REFUND, changed(REFUND, id="re_2"))))

    with pytest.raises(CallFailed, match="two refunds") as failed:
        gateway.find_refund(payment="pi_1", key=KEY)

    assert (failed.value.kind, failed.value.effect_possible) == (FailureKind.DATA, True)


def test_a_list_that_never_ends_is_given_up(server: ScriptedServer, gateway: StripeGateway):
    pages = [answer(page(changed(REFUND, id=f"re_{number}", metadata={}), more=True)) for number in range(30)]
    server.plays(*pages)

    with pytest.raises(CallFailed, match="more than 2000"):
        gateway.refunds_of("pi_1")


def test_a_charge_of_an_intent_is_not_taken_for_a_second_payment(server: ScriptedServer, gateway: StripeGateway):
    server.plays(answer(CHARGE))

    with pytest.raises(CallFailed, match="belongs to payment pi_1") as failed:
        gateway.payment("ch_1")

    assert failed.value.kind == FailureKind.DATA


def test_a_charge_without_an_intent_is_a_payment(server: ScriptedServer, gateway: StripeGateway):
    alone = changed(CHARGE, payment_intent=None)
    server.plays(answer(alone), answer(changed(REFUND, payment_intent=None)))

    seen, receipt = gateway.payment("ch_1"), refund(gateway, "ch_1")

    assert seen.captured == Money(10_000, "GBP")
    assert receipt.payment == "ch_1"
    assert b"charge=ch_1&amount=2500" in server.requests[1]


@pytest.mark.parametrize(
    "reference", ["", "536365", "pi_", "pi_1/refund", "pi_1?x", "../x", "re_1", "pi_é", "pi_" + "1" * 91]
)
def test_what_is_no_reference_is_never_sent(reference: str, server: ScriptedServer, gateway: StripeGateway):
    for attempt in (
        lambda: gateway.payment(reference),
        lambda: refund(gateway, reference),
        lambda: gateway.find_refund(payment=reference, key=KEY),
        lambda: gateway.refunds_of(reference),
        lambda: gateway.retrieve_refund(reference.replace("re_", "x")),
    ):
        with pytest.raises(CallFailed) as failed:
            attempt()
        assert (failed.value.kind, failed.value.effect_possible) == (FailureKind.DATA, False)
    assert server.requests == []


REFUSALS = [
    (answer({"error": {"type": "idempotency_error"}}, 400), FailureKind.DATA, True),
    (answer({"error": {"type": "idempotency_error"}}, 409), FailureKind.TRANSIENT, True),
    (answer({"error": {"code": "charge_already_refunded"}}, 400), FailureKind.DATA, False),
    (answer({"error": {"type": "api_error"}}, 500), FailureKind.TRANSIENT, True),
    (answer({"error": {"type": "api_error"}}, 500, idempotent_replayed="true"), FailureKind.DATA, True),
    (answer({"error": "not an object"}, 400), FailureKind.DATA, False),
    (answer(body=b"<html>Bad gateway</html>", status=502), FailureKind.INFRASTRUCTURE, True),
    (answer({"error": {"code": "rate_limit"}}, 429, retry_after="3"), FailureKind.TRANSIENT, False),
]


@pytest.mark.parametrize(("script", "kind", "effect_possible"), REFUSALS)
def test_what_a_refusal_means(
    script: Script, kind: FailureKind, effect_possible: bool, server: ScriptedServer, gateway: StripeGateway
):
    server.plays(script)

    with pytest.raises(CallFailed) as failed:
        refund(gateway)

    assert (failed.value.kind, failed.value.effect_possible) == (kind, effect_possible)


def test_what_the_gateway_says_is_shown_with_its_tricks_spelled_out(server: ScriptedServer, gateway: StripeGateway):
    server.plays(answer({"error": {"message": "No\u202e such\x1b[2J thing" + "!" * 500}}, status=404))

    with pytest.raises(CallFailed) as failed:
        refund(gateway)

    assert failed.value.message.startswith("Gateway: No[U+202E] such[U+001B][2J thing!!!")
    assert len(failed.value.message) <= 300


# D3: amounts as Stripe counts them.


@pytest.mark.parametrize(
    ("minor", "currency", "number"),
    [
        (14_148, "GBP", 14_148),
        (1_500, "JPY", 1_500),
        (12_340, "KWD", 12_340),
        (5, "ISK", 500),
        (700, "UGX", 70_000),
    ],
)
def test_amounts_there_and_back(minor: int, currency: str, number: int):
    assert to_stripe(Money(minor, currency)) == number
    assert from_stripe(number, currency.lower()) == Money(minor, currency)


@pytest.mark.parametrize(("minor", "currency"), [(12_345, "KWD"), (1, "BHD"), (10_000, "CLF"), (10, "IQD")])
def test_amounts_that_stripe_cannot_say_are_never_sent(
    minor: int, currency: str, server: ScriptedServer, gateway: StripeGateway
):
    with pytest.raises(CallFailed) as failed:
        refund(gateway, amount=Money(minor, currency))

    assert (failed.value.kind, failed.value.effect_possible) == (FailureKind.DATA, False)
    assert server.requests == []


def test_a_hundredth_of_a_currency_that_has_none_is_odd():
    with pytest.raises(BadAmount):
        from_stripe(501, "isk")


@given(st.integers(0, 10**12), st.sampled_from(sorted(EXPONENTS)))
def test_no_amount_changes_on_its_way(minor: int, currency: str):
    amount = Money(minor, currency)
    try:
        number = to_stripe(amount)
    except BadAmount:
        return
    assert from_stripe(number, currency.lower()) == amount
