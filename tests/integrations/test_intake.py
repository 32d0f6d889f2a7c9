"""Taking in webhooks: what is stored, what is refused, and how little it costs."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from integrations.hooks import LARGEST
from integrations.models import Endpoint
from integrations.secrets import encrypt
from tests.integrations.senders import (
    SHOP_SECRET,
    Counted,
    Sender,
    refund_requested,
    standard_headers,
    stripe_headers,
)
from tests.integrations.test_readers import MALFORMED
from workflows.engine import intake
from workflows.models import Event
from workflows.states import EventState

BODY = refund_requested()


def nothing_stored() -> bool:
    return not Event.objects.exists()


def test_a_signed_webhook_is_stored_byte_for_byte_and_acknowledged(shop: Sender, rings: list[str]):
    reply = shop.send(BODY, message="msg_1")

    event = Event.objects.get()
    assert (reply.status, reply.json) == (202, {"received": event.pk})
    assert bytes(event.body) == BODY
    assert (event.source, event.dedupe_key, event.reader) == ("wholesale-uk/shop", "msg_1", "standard")
    assert (event.state, event.type, event.reason, event.case) == (EventState.RECEIVED, "", "", None)
    assert rings == ["workflows.tick"]


def test_a_stripe_event_is_stored_for_the_stripe_reader(stripe_sender: Sender):
    reply = stripe_sender.send_as_stripe(b'{"object": "event"}')

    event = Event.objects.get()
    assert reply.status == 202
    assert (event.source, event.reader) == ("wholesale-uk/gateway", "stripe")
    assert event.dedupe_key == event.body_hash


def test_a_copy_is_acknowledged_and_stored_once(shop: Sender, rings: list[str]):
    first = shop.send(BODY, message="msg_1")
    again = shop.send(BODY, message="msg_1")

    assert (again.status, again.json) == (200, {"duplicate": first.json["received"]})
    assert Event.objects.count() == 1
    assert rings == ["workflows.tick"]


def test_a_stripe_event_delivered_again_with_a_new_signature_is_a_copy(stripe_sender: Sender):
    body = b'{"object": "event", "id": "evt_1"}'
    later = stripe_headers(body, at=int(datetime.now(UTC).timestamp()) - 100)

    assert stripe_sender.send_as_stripe(body).status == 202
    assert stripe_sender.post(body, later).status == 200
    assert Event.objects.count() == 1


def test_the_same_id_with_another_body_is_set_aside_and_never_acted_on(shop: Sender):
    for number in range(50):
        shop.send(refund_requested(f"C{number}"), message=f"msg_{number}")
    replies = [shop.send(refund_requested(f"X{number}"), message=f"msg_{number}") for number in range(50)]
    copies = [shop.send(refund_requested(f"X{number}"), message=f"msg_{number}") for number in range(50)]

    aside = Event.objects.filter(state=EventState.QUARANTINED)
    assert {reply.status for reply in replies} == {202}
    assert {reply.status for reply in copies} == {200}
    assert aside.count() == 50
    assert Event.objects.filter(state=EventState.RECEIVED).count() == 50
    assert all("again for other content" in event.reason for event in aside)
    assert all(event.dedupe_key.startswith("msg_") and event.body_hash in event.dedupe_key for event in aside)


def test_an_id_belongs_to_its_endpoint(shop: Sender, shop_endpoint: Endpoint):
    other = Endpoint.objects.create(
        organization=shop_endpoint.organization,
        connection=shop_endpoint.connection,
        slug="other-shop",
        scheme=Endpoint.Scheme.STANDARD,
        secret=encrypt(SHOP_SECRET),
    )

    assert shop.send(BODY, message="msg_1").status == 202
    assert Sender(f"/hooks/wholesale-uk/{other.slug}/").send(BODY, message="msg_1").status == 202


# B4, B5: who is not let in.


@pytest.mark.parametrize("offset", [-301, 301, 31_536_000])
def test_a_message_signed_too_long_ago_or_ahead_is_refused(shop: Sender, offset: int):
    moment = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
    with time_machine.travel(moment, tick=False):
        reply = shop.post(BODY, standard_headers(BODY, at=int(moment.timestamp()) + offset))

    assert reply.status == 401
    assert nothing_stored()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        standard_headers(BODY, secret="whsec_d3Jvbmcga2V5"),
        standard_headers(BODY + b" "),
        {**standard_headers(BODY), "webhook-id": "msg_other"},
        stripe_headers(BODY),
    ],
)
def test_what_is_not_signed_by_the_shop_is_refused(shop: Sender, headers: dict[str, str], rings: list[str]):
    reply = shop.post(BODY, headers)

    assert reply.status == 401
    assert nothing_stored()
    assert rings == []


def test_an_endpoint_that_was_switched_off_takes_nothing_from_the_next_request_on(
    shop: Sender, shop_endpoint: Endpoint
):
    assert shop.send(BODY).status == 202
    Endpoint.objects.update(enabled=False)

    assert shop.send(BODY).status == 404
    assert shop.post(BODY, {}).status == 401
    assert Event.objects.count() == 1


def test_a_change_of_secrets_counts_from_the_next_request_on(shop: Sender, shop_endpoint: Endpoint):
    new = "whsec_bmV3IHNlY3JldA=="
    shop_endpoint.secret, shop_endpoint.old_secret = encrypt(new), shop_endpoint.secret
    shop_endpoint.old_secret_until = datetime.now(UTC) + timedelta(hours=24)
    shop_endpoint.save()

    assert shop.send(BODY).status == 202
    assert shop.post(BODY, standard_headers(BODY, secret=new)).status == 202
    Endpoint.objects.update(old_secret="", old_secret_until=None)
    assert shop.send(BODY).status == 401
    assert shop.post(BODY, standard_headers(BODY, secret=new)).status == 202


@pytest.mark.parametrize("path", ["/hooks/wholesale-uk/nobody/", "/hooks/nobody/shop/", "/hooks/wholesale-uk/"])
def test_where_nobody_listens_is_not_found(shop_endpoint: Endpoint, path: str):
    assert Client().post(path, BODY, content_type="application/json").status_code == 404


# B7, B8: what is not even looked at.


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_posts_are_taken(shop: Sender, method: str):
    reply = shop.send(BODY, REQUEST_METHOD=method)

    assert reply.status == 405
    assert reply.headers["allow"] == "POST"
    assert nothing_stored()


@pytest.mark.parametrize("size", [20_000, LARGEST])
def test_up_to_256_kilobytes_are_taken(shop: Sender, size: int):
    assert shop.send(b" " * size).status == 202
    assert len(Event.objects.get().body) == size


@pytest.mark.parametrize("size", [LARGEST + 1, 3_000_000, 10**15])
def test_a_larger_body_is_refused_without_reading_it(shop: Sender, size: int):
    stream = Counted(size)

    reply = shop.post(b"", {}, **{"CONTENT_LENGTH": str(size), "wsgi.input": stream})

    assert reply.status == 413
    assert stream.read_so_far == 0


def test_a_chunked_body_is_read_up_to_the_limit_and_no_further(shop: Sender):
    stream = Counted(200_000_000)
    chunked = {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BufferedReader(stream)}

    reply = shop.post(b"", {}, **chunked)

    assert reply.status == 413
    assert stream.read_so_far <= LARGEST + 16_384


def test_a_chunked_body_within_the_limit_is_taken(shop: Sender):
    assert shop.send(BODY, CONTENT_LENGTH=None, HTTP_TRANSFER_ENCODING="chunked").status == 202
    assert bytes(Event.objects.get().body) == BODY


@pytest.mark.parametrize("length", ["+5", "-1", "5.0", "0x10", "٣", "five", " 5", "5,5"])
def test_a_length_that_is_no_number_is_refused(shop: Sender, length: str):
    assert shop.send(BODY, CONTENT_LENGTH=length).status == 400
    assert nothing_stored()


def test_a_body_that_breaks_off_is_refused(shop: Sender):
    assert shop.send(BODY, CONTENT_LENGTH=str(len(BODY) + 1)).status == 400
    assert nothing_stored()


def test_a_body_that_the_server_cannot_read_is_refused(shop: Sender):
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError(size)

    assert shop.send(BODY, **{"wsgi.input": Broken()}).status == 400
    assert nothing_stored()


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'Application/JSON ; charset="utf-8"',
    ],
)
def test_json_in_utf8_is_taken(shop: Sender, content_type: str):
    assert shop.send(BODY, CONTENT_TYPE=content_type).status == 202


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=utf-7; charset=utf-8",
        "application/jsonp",
        "application/cloudevents+json",
        "application/json, text/plain",
    ],
)
def test_other_types_are_refused(shop: Sender, content_type: str | None):
    assert shop.send(BODY, CONTENT_TYPE=content_type).status == 415
    assert nothing_stored()


def test_compressed_bodies_are_refused_so_that_nothing_is_inflated(shop: Sender):
    assert shop.send(BODY, HTTP_CONTENT_ENCODING="gzip").status == 415
    assert nothing_stored()


# B6: validly signed nonsense.


@pytest.mark.parametrize("body", [body for body, _ in MALFORMED.values()], ids=MALFORMED)
def test_signed_nonsense_is_stored_acknowledged_and_set_aside_with_its_reason(shop: Sender, body: bytes):
    reply = shop.send(body)
    intake.take_in()

    event = Event.objects.get()
    assert reply.status == 202
    assert bytes(event.body) == body
    assert event.state == EventState.QUARANTINED
    assert event.reason


def test_an_event_of_a_type_nobody_knows_is_kept_and_ignored_with_a_reason(shop: Sender):
    shop.send(b'{"type": "weather.changed", "data": {}}')
    intake.take_in()

    event = Event.objects.get()
    assert event.state == EventState.IGNORED
    assert "weather.changed" in event.reason


# What it costs, and what it says.


@pytest.mark.parametrize(
    ("message", "body", "statements"),
    [("msg_new", BODY, 1), ("msg_1", BODY, 3), ("msg_1", refund_requested("C2"), 4)],
    ids=["new", "copy", "other content"],
)
@pytest.mark.django_db(transaction=True)
def test_an_acknowledged_webhook_costs_at_most_four_statements_and_one_commit(
    shop: Sender, message: str, body: bytes, statements: int
):
    shop.send(BODY, message="msg_1")

    with CaptureQueriesContext(connection) as queries:
        reply = shop.send(body, message=message)

    said = [query["sql"].split()[0] for query in queries]
    assert reply.status in {200, 202}
    assert len(said) == statements <= 4
    # Outside a transaction each statement commits itself, and only an INSERT that found room has anything to commit.
    assert set(said) <= {"SELECT", "INSERT"}
    assert Event.objects.count() == (1 if statements == 3 else 2)


@pytest.mark.parametrize(
    "send",
    [
        lambda shop: shop.send(BODY),
        lambda shop: shop.post(BODY, {}),
        lambda shop: shop.send(BODY, REQUEST_METHOD="GET"),
        lambda shop: shop.send(BODY, CONTENT_TYPE="text/html"),
        lambda shop: shop.post(b"", {}, CONTENT_LENGTH="999999999"),
    ],
    ids=["202", "401", "405", "415", "413"],
)
def test_no_answer_is_kept_or_taken_for_something_else(shop: Sender, send: Callable[[Sender], Any]):
    reply = send(shop)

    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-type"] == "application/json"


def test_through_the_whole_desk_it_is_the_same_view_without_sign_in_and_csrf(shop_endpoint: Endpoint):
    client = Client(enforce_csrf_checks=True)
    address = reverse("integrations:receive", args=["wholesale-uk", "shop"])

    reply = client.post(address, BODY, content_type="application/json", headers=standard_headers(BODY))

    assert reply.status_code == 202
    assert Event.objects.count() == 1


# B1: copies at once.


@pytest.mark.django_db(transaction=True)
def test_eight_copies_at_once_of_200_webhooks_are_200_events(shop: Sender):
    barrier = threading.Barrier(8)
    bodies = [refund_requested(f"C{number}") for number in range(200)]
    signed = [standard_headers(body, message=f"msg_{number}") for number, body in enumerate(bodies)]

    def deliver(_: int) -> list[int]:
        statuses = []
        try:
            for body, headers in zip(bodies, signed, strict=True):
                barrier.wait(30)
                statuses.append(shop.post(body, headers).status)
        finally:
            connections.close_all()
        return statuses

    with ThreadPoolExecutor(8) as pool:
        statuses = [status for part in pool.map(deliver, range(8)) for status in part]

    assert sorted(statuses) == [200] * 1400 + [202] * 200
    assert Event.objects.count() == 200
