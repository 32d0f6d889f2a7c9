"""Misbehaving on demand: by header, by queue, by a seeded die."""

import http.client
import time
from email.utils import parsedate_to_datetime

import pytest
import stripe

from tests.plugins.sandbox import Answer, Gateway, SandboxRefused, wait_until
from tests.sandbox.conftest import PAYMENT

REFUND = {"charge": "ch_536365", "amount": "1000"}


def refund(gateway: Gateway, fault: str, key: str = "k1") -> Answer:
    return gateway.post("/v1/refunds", REFUND, key=key, fault=fault)


def test_lost_after_does_it_and_says_nothing(paid: Gateway) -> None:
    with pytest.raises(ConnectionError):
        refund(paid, "lost_after")

    assert len(paid.effects()) == 1
    again = paid.post("/v1/refunds", REFUND, key="k1")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(paid.effects()) == 1


def test_stripes_own_client_gets_over_a_lost_answer(paid: Gateway, client: stripe.StripeClient) -> None:
    paid.fault("lost_after", method="POST")

    refund = client.v1.refunds.create({"charge": "ch_536365"}, {"max_network_retries": 1})

    assert [effect["refund"] for effect in paid.effects()] == [refund.id]
    assert [each["replayed"] for each in paid.requests()] == [0, 1]


def test_lost_before_does_nothing(paid: Gateway) -> None:
    with pytest.raises(ConnectionError):
        refund(paid, "lost_before")

    assert paid.effects() == []
    assert [(each["fault"], each["status"]) for each in paid.requests()] == [("lost_before", None)]


def test_effect_later_does_it_when_nobody_expects_it_any_more(paid: Gateway) -> None:
    with pytest.raises(ConnectionError):
        refund(paid, "effect_later=0.2")
    assert paid.effects() == []

    wait_until(paid.effects)

    assert paid.post("/v1/refunds", REFUND, key="k1").headers["Idempotent-Replayed"] == "true"


def test_reset_mid_body_breaks_off_an_answer_that_had_begun(paid: Gateway) -> None:
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        refund(paid, "reset_mid_body")

    assert len(paid.effects()) == 1


def test_429_says_when_to_come_back(paid: Gateway) -> None:
    answer = refund(paid, "429=3")

    assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
    assert answer.error["code"] == "rate_limit"
    assert paid.effects() == []


def test_429_may_name_the_moment_as_a_date(paid: Gateway) -> None:
    answer = refund(paid, "429=date:30")

    moment = parsedate_to_datetime(answer.headers["Retry-After"]).timestamp()
    assert 25 < moment - time.time() <= 31


@pytest.mark.parametrize(("fault", "effects"), [("500_before", 0), ("500_after", 1), ("503", 0), ("503=2", 0)])
def test_server_errors_come_before_or_after_the_effect(paid: Gateway, fault: str, effects: int) -> None:
    answer = refund(paid, fault)

    assert answer.status == int(fault[:3])
    assert answer.error["type"] == "api_error"
    assert answer.headers.get("Retry-After") == ("2" if "=" in fault else None)
    assert len(paid.effects()) == effects


def test_wrong_amount_moves_another_amount(paid: Gateway) -> None:
    answer = refund(paid, "wrong_amount")

    assert answer.json["amount"] == 999
    assert [effect["amount"] for effect in paid.effects()] == [999]
    assert paid.get("/v1/charges/ch_536365").json["amount_refunded"] == 999


@pytest.mark.parametrize(("asked", "moved"), [("1", 2), ("10000", 9_999)])
def test_wrong_amount_is_never_nothing_and_never_too_much(paid: Gateway, asked: str, moved: int) -> None:
    answer = paid.post("/v1/refunds", {"charge": "ch_536365", "amount": asked}, fault="wrong_amount")

    assert answer.json["amount"] == moved


def test_wrong_answer_only_says_another_amount(paid: Gateway) -> None:
    answer = refund(paid, "wrong_answer=5")

    assert answer.json["amount"] == 1_005
    assert paid.get(f"/v1/refunds/{answer.json['id']}").json["amount"] == 1_000
    assert [effect["amount"] for effect in paid.effects()] == [1_000]


def test_a_refund_can_be_told_to_fail_later(paid: Gateway) -> None:
    answer = refund(paid, "fails_later=0.2")
    assert answer.json["status"] == "succeeded"

    wait_until(lambda: len(paid.effects()) == 2)

    assert paid.get(f"/v1/refunds/{answer.json['id']}").json["status"] == "failed"


def test_a_refund_can_be_told_to_settle_later(paid: Gateway) -> None:
    answer = refund(paid, "pending=0.2")
    assert answer.json["status"] == "pending"

    path = f"/v1/refunds/{answer.json['id']}"
    wait_until(lambda: paid.get(path).json["status"] == "succeeded")

    assert len(paid.effects()) == 1


def test_a_queued_fault_meets_only_the_next_matching_requests(paid: Gateway) -> None:
    paid.fault("503", method="POST", path="/v1/refunds", times=2)

    seen = [paid.get("/v1/charges/ch_536365").status]
    seen += [paid.post("/v1/refunds", REFUND, key="k1").status for _ in range(3)]

    assert seen == [200, 503, 503, 200]
    assert paid.control("faults", method="GET")["queue"] == []


def fates(gateway: Gateway, seed: int) -> list[str]:
    gateway.chaos({"503": 0.3, "429=0": 0.2}, seed=seed, paths="/v1/charges")
    assert gateway.get("/v1/refunds").status == 200  # another path draws nothing
    return [str(gateway.get("/v1/charges/ch_536365").status) for _ in range(60)]


def test_chaos_of_the_same_seed_is_the_same_chaos(paid: Gateway) -> None:
    first, second, other = fates(paid, 7), fates(paid, 7), fates(paid, 8)

    assert first == second != other
    assert 8 <= first.count("503") <= 28
    assert 3 <= first.count("429") <= 22
    assert paid.control("chaos", method="GET")["chaos"]["drawn"] == 60

    paid.behave_well()
    assert {paid.get("/v1/charges/ch_536365").status for _ in range(20)} == {200}


@pytest.mark.parametrize(
    ("switch", "wish"),
    [
        ("faults", {"fault": "explode"}),
        ("faults", {"fault": "slow"}),
        ("faults", {"fault": "slow=-1"}),
        ("faults", {"fault": "slow=nan"}),
        ("faults", {"fault": "wrong_amount=0"}),
        ("faults", {"fault": "lost_after=1"}),
        ("faults", {"fault": "503", "times": 0}),
        ("faults", []),
        ("chaos", {"shares": {"lost_after": 0.7, "503": 0.7}}),
        ("chaos", {"shares": {}}),
        ("behaviour", {"key_mode": "sometimes"}),
        ("behaviour", {"mood": "bad"}),
        ("webhooks", {"duplicates": 2}),
        ("webhooks", {"speed": 2}),
        ("webhooks", {"url": "ftp://x"}),
        ("nonsense", {}),
    ],
)
def test_a_switch_that_makes_no_sense_is_refused_and_changes_nothing(paid: Gateway, switch: str, wish: object) -> None:
    with pytest.raises(SandboxRefused, match=r"40[04]"):
        paid.control(switch, wish)

    assert paid.control("faults", method="GET") == {"queue": [], "chaos": None}
    assert refund(paid, "").status == 200


def test_an_unknown_fault_in_the_header_is_named(paid: Gateway) -> None:
    answer = refund(paid, "explode")

    assert answer.status == 400
    assert "explode" in answer.error["message"]
    assert paid.effects() == []


def test_every_call_is_in_the_request_log(paid: Gateway) -> None:
    refund(paid, "500_after")
    paid.post("/v1/refunds", REFUND, key="k1")
    paid.get("/v1/refunds?limit=1")

    log = [
        (each["method"], each["path"], each["query"], each["fault"], each["status"], each["replayed"])
        for each in paid.requests()
    ]
    assert log == [
        ("POST", "/v1/refunds", "", "500_after", 500, 0),
        ("POST", "/v1/refunds", "", None, 500, 1),
        ("GET", "/v1/refunds", "limit=1", None, 200, 0),
    ]
    assert paid.requests()[0]["body"] == "charge=ch_536365&amount=1000"


def test_switches_can_be_given_at_the_start(start_gateway) -> None:
    gateway = start_gateway(
        "--faults",
        '{"faults": [{"fault": "503"}], "behaviour": {"allow_over_refund": true},'
        ' "chaos": {"seed": 1, "shares": {"lost_before": 1}, "paths": "/v1/charges"}}',
    )
    gateway.seed([PAYMENT])

    assert gateway.get("/v1/refunds").status == 503
    assert gateway.post("/v1/refunds", {"charge": "ch_536365", "amount": "10001"}).status == 200
    with pytest.raises(ConnectionError):
        gateway.get("/v1/charges/ch_536365")


def test_another_sites_page_cannot_turn_switches(paid: Gateway) -> None:
    answer = paid.send("POST", "/_sandbox/reset", "{}", Origin="https://evil.example")

    assert answer.status == 403
    assert paid.get("/v1/charges/ch_536365").status == 200
