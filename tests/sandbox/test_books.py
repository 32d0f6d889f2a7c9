"""The effect log and the books: written before the answer, whole after a kill, filled by seeding."""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.plugins.sandbox import Gateway, SandboxRefused
from tests.sandbox.conftest import PAYMENT


def read(path: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def test_the_effect_log_is_a_file_of_its_own(paid: Gateway) -> None:
    began = time.time()
    fields = {"charge": "ch_536365", "amount": 700, "metadata[case]": "7"}
    refund = paid.post("/v1/refunds", fields, key="k1").json["id"]

    rows = read(
        paid.storage / "effects.sqlite3",
        "SELECT kind, refund, charge, payment, amount, currency, idempotency_key, metadata, origin FROM effects",
    )

    assert rows == [
        ("refund", refund, "ch_536365", "pi_536365", 700, "gbp", "k1", '{"case": "7"}', "api"),
    ]
    [effect] = paid.effects()
    assert effect["metadata"] == {"case": "7"}
    assert began <= effect["at"] <= time.time()


def test_effects_can_be_read_from_where_one_stopped(paid: Gateway) -> None:
    for amount in (1, 2, 3):
        paid.post("/v1/refunds", {"charge": "ch_536365", "amount": amount})
    first = paid.effects()[0]

    assert [effect["amount"] for effect in paid.effects(after=first["seq"])] == [2, 3]


def test_nothing_answered_is_lost_when_the_gateway_is_killed(start_gateway) -> None:
    gateway = start_gateway()
    gateway.seed([PAYMENT | {"amount": 10_000_000}])
    answered: set[str] = set()

    def refund(worker: int) -> None:
        number = 0
        while True:
            number += 1
            key = f"{worker}-{number}"
            try:
                answer = gateway.post("/v1/refunds", {"charge": "ch_536365", "amount": 1}, key=key)
            except OSError:
                return
            answered.add(answer.json["id"])

    threads = [threading.Thread(target=refund, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    gateway.kill()
    for thread in threads:
        thread.join()
    gateway.start()

    effects = gateway.effects()
    kept = {effect["refund"] for effect in effects}
    assert len(answered) > 20
    assert answered <= kept
    assert len({effect["idempotency_key"] for effect in effects}) == len(effects)
    assert gateway.get("/v1/charges/ch_536365").json["amount_refunded"] == len(effects)


def test_a_gateway_killed_between_books_and_effect_log_catches_up(start_gateway) -> None:
    gateway = start_gateway()
    gateway.seed([PAYMENT])
    refund = gateway.post("/v1/refunds", {"charge": "ch_536365", "amount": 5}, key="k1").json["id"]
    gateway.fail(refund)
    gateway.kill()
    with closing(sqlite3.connect(gateway.storage / "effects.sqlite3")) as db:
        db.execute("DELETE FROM effects")
        db.commit()

    gateway.start()

    assert [(effect["kind"], effect["refund"]) for effect in gateway.effects()] == [
        ("refund", refund),
        ("refund_failed", refund),
    ]


def test_keys_hold_across_a_restart(start_gateway) -> None:
    gateway = start_gateway()
    gateway.seed([PAYMENT])
    first = gateway.post("/v1/refunds", {"charge": "ch_536365"}, key="k1")

    gateway.stop()
    gateway.start()

    assert gateway.post("/v1/refunds", {"charge": "ch_536365"}, key="k1").body == first.body


def test_thousands_are_seeded_in_one_call_and_a_second_time_changes_nothing(gateway: Gateway) -> None:
    orders = [
        {"id": f"pi_{n}", "amount": n, "currency": "gbp", "created": n, "customer": f"cus_{n % 50}"}
        for n in range(1, 5_001)
    ]
    began = time.monotonic()
    first = gateway.seed(orders)
    assert time.monotonic() - began < 5
    gateway.post("/v1/refunds", {"charge": "ch_77", "amount": 7})

    again = gateway.seed(orders)

    assert (first, again) == ({"sent": 5_000, "created": 5_050}, {"sent": 5_000, "created": 0})
    assert gateway.get("/v1/charges/ch_77").json["amount_refunded"] == 7
    assert len(gateway.get("/v1/events").json["data"]) == 2  # of the refund alone


def test_what_was_refunded_before_is_in_the_books(gateway: Gateway) -> None:
    gateway.seed([PAYMENT | {"refunded": 2_500}])

    assert gateway.get("/v1/charges/ch_536365").json["amount_refunded"] == 2_500
    [refund] = gateway.get("/v1/refunds?charge=ch_536365").json["data"]
    assert refund["amount"] == 2_500
    assert [(effect["origin"], effect["amount"]) for effect in gateway.effects()] == [("seed", 2_500)]


def test_each_past_refund_can_be_named_with_its_moment(gateway: Gateway) -> None:
    past = [
        {"id": "re_C536391", "amount": 1_500, "created": "2026-03-01T10:00:00+00:00"},
        {"id": "re_C536506", "amount": 1_000, "created": 1_775_000_000},
    ]

    gateway.seed([PAYMENT | {"refunds": past}])

    assert gateway.get("/v1/charges/ch_536365").json["amount_refunded"] == 2_500
    listed = gateway.get("/v1/refunds?charge=ch_536365").json["data"]
    assert {(refund["id"], refund["amount"], refund["created"]) for refund in listed} == {
        ("re_C536391", 1_500, 1_772_359_200),
        ("re_C536506", 1_000, 1_775_000_000),
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"amount": 0},
        {"amount": 1.5},
        {"amount": True},
        {"amount": None},
        {"currency": "pounds"},
        {"refunded": 10_001},
        {"refunds": [{"id": "re_1", "amount": 10_001}]},
        {"refunds": [{"id": "re_1", "amount": 1}, {"id": "re_1", "amount": 1}]},
        {"refunds": [{"id": "re_1", "amount": 1}], "refunded": 1},
        {"captured": 10_001},
        {"created": "yesterday"},
        {"created": None},
        {"id": "pi 1"},
        {"colour": "red"},
        {"metadata": []},
        {"id": "pi_other"},
    ],
)
def test_one_broken_entry_plants_nothing(gateway: Gateway, broken: dict[str, object]) -> None:
    with pytest.raises(SandboxRefused, match="400"):
        gateway.seed([PAYMENT, PAYMENT | {"id": "pi_2", "charge": "ch_536365"} | broken])

    assert gateway.get("/v1/payment_intents").json["data"] == []


def test_two_gateways_cannot_share_a_folder(start_gateway) -> None:
    first = start_gateway()

    with pytest.raises(AssertionError, match="Another gateway is already using"):
        start_gateway(storage=first.storage)
