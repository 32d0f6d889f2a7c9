"""The pages of the gateway: what a newcomer sees of the outside world."""

import re
from urllib.parse import urlencode

import pytest

from tests.plugins.sandbox import Gateway
from tests.sandbox.conftest import PAYMENT


def text(gateway: Gateway, path: str) -> str:
    answer = gateway.get(path)
    assert answer.status == 200
    return answer.body.decode()


def press(gateway: Gateway, shown: str, label: str) -> str:
    """Press the first button whose label begins so; returns where the browser is sent."""
    form = next(form for form in re.findall("<form.*?</form>", shown) if f"<button>{label}" in form)
    action = re.search('action="([^"]+)"', form)
    assert action is not None
    fields = dict(re.findall('name="([^"]+)" value="([^"]*)"', form))
    answer = gateway.send("POST", action.group(1), urlencode(fields), Accept="text/html")
    assert answer.status == 303, answer.body
    return answer.headers["Location"]


def test_the_first_page_shows_payments_refunds_effects_and_calls(paid: Gateway) -> None:
    paid.post("/v1/refunds", {"charge": "ch_536365", "amount": 4_148}, key="case-7")
    paid.fault("429=2", times=3)

    shown = text(paid, "/")

    assert '<a href="/payments/pi_536365">pi_536365</a>' in shown
    for wanted in ("£100.00", "£41.48", "case-7", "POST /v1/refunds", "429=2 x 3", "cus_17548"):
        assert wanted in shown


def test_an_empty_gateway_says_so(gateway: Gateway) -> None:
    shown = text(gateway, "/")

    assert "No money has moved yet." in shown
    assert "<table" not in shown


def test_a_payment_has_a_page_of_its_own(paid: Gateway) -> None:
    refund = paid.post("/v1/refunds", {"charge": "ch_536365", "amount": 4_148}).json["id"]

    shown = text(paid, "/payments/pi_536365")

    for wanted in (refund, "ch_536365", "£58.52", "2011-03-01 09:30:00 UTC", "charge.refunded", "536365"):
        assert wanted in shown
    assert paid.get("/payments/pi_nobody").status == 404
    assert paid.get("/nowhere").status == 404


def test_a_person_can_refund_and_let_a_refund_fail_there(paid: Gateway) -> None:
    place = press(paid, text(paid, "/payments/pi_536365"), "Refund £50.00 here")
    assert place == "/payments/pi_536365"
    assert [effect["amount"] for effect in paid.effects()] == [5_000]

    press(paid, text(paid, place), "Let it fail")

    assert [effect["kind"] for effect in paid.effects()] == ["refund", "refund_failed"]
    assert "refund failed" in text(paid, "/")


def test_pages_carry_a_strict_policy_and_load_nothing_from_elsewhere(paid: Gateway) -> None:
    answer = paid.get("/")

    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.body.decode()
    assert " style=" not in answer.body.decode()
    assert re.findall('(?:href|src)="(?!/|data:,)', answer.body.decode()) == []
    style = paid.get("/sandbox.css")
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert b"url(" not in style.body


def test_refreshing_by_itself_is_off_until_chosen(gateway: Gateway) -> None:
    assert "http-equiv" not in text(gateway, "/")
    assert '<meta http-equiv="refresh" content="3">' in text(gateway, "/?live=1")


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202eevil"])
def test_what_others_wrote_is_only_text(gateway: Gateway, hostile: str) -> None:
    gateway.seed([PAYMENT | {"customer": None, "metadata": {"note": hostile, hostile: "x"}}])
    gateway.post("/v1/refunds", {"charge": "ch_536365"}, key=hostile.encode("ascii", "ignore").decode())
    gateway.get("/v1/" + "<script>alert(2)</script>")

    for path in ("/", "/payments/pi_536365"):
        shown = text(gateway, path)
        assert "<script" not in shown
        assert "<img" not in shown


@pytest.mark.parametrize(("currency", "said"), [("jpy", "¥1,500"), ("kwd", "1.500 KWD"), ("chf", "15.00 CHF")])
def test_amounts_are_said_in_the_way_of_their_currency(gateway: Gateway, currency: str, said: str) -> None:
    gateway.seed([PAYMENT | {"amount": 1_500, "currency": currency}])

    assert said in text(gateway, "/payments/pi_536365")
