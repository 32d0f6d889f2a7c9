"""Who sent it, and when: B4 late and early, B5 forged and malformed, and the schemes' own packages as judges."""

import base64
import hashlib
import hmac
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
import time_machine
from django.http.request import HttpHeaders
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from integrations.models import Endpoint
from integrations.secrets import encrypt
from integrations.signatures import BadSignature, verify
from tests.integrations.senders import SHOP_SECRET, STRIPE_SECRET, standard_headers, stripe_headers

NOW = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
AT = int(NOW.timestamp())
BODY = b'{"type": "refund.requested", "data": {}}'
OTHER_SECRET = "whsec_YW5vdGhlciBzZWNyZXQgYXQgYWxs"
SCHEMES = ["standard", "stripe"]


def endpoint_of(scheme: str, **fields: Any) -> Endpoint:
    secret = {"standard": SHOP_SECRET, "stripe": STRIPE_SECRET}[scheme]
    return Endpoint(slug="shop", scheme=scheme, **{"secret": encrypt(secret), **fields})


def signed(scheme: str, body: bytes = BODY, **how: Any) -> dict[str, str]:
    how = {"at": AT, **how}
    return stripe_headers(body, **how) if scheme == "stripe" else standard_headers(body, message="msg_1", **how)


def accepted(endpoint: Endpoint, headers: Any, body: bytes = BODY, now: datetime = NOW) -> bool:
    """Whether it is accepted; anything else than a plain refusal fails the test."""
    try:
        verify(endpoint, headers, body, now)
    except BadSignature:
        return False
    return True


def test_standard_webhooks_are_known_by_the_id_of_their_sender():
    assert verify(endpoint_of("standard"), signed("standard"), BODY, NOW) == "msg_1"


def test_stripe_events_are_known_by_their_content():
    first = verify(endpoint_of("stripe"), signed("stripe"), BODY, NOW)
    again = verify(endpoint_of("stripe"), signed("stripe", at=AT + 200), BODY, NOW)
    other = verify(endpoint_of("stripe"), signed("stripe", BODY + b" "), BODY + b" ", NOW)

    assert first == again != other
    assert len(first) == 64


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("offset", [-300, -299, 0, 299, 300])
def test_within_five_minutes_either_way_it_is_accepted(scheme: str, offset: int):
    assert accepted(endpoint_of(scheme), signed(scheme, at=AT + offset))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("offset", [-31_536_000, -86_400, -301, 301, 86_400, 31_536_000])
def test_later_or_earlier_than_that_it_is_refused(scheme: str, offset: int):
    assert not accepted(endpoint_of(scheme), signed(scheme, at=AT + offset))


def test_stripes_own_package_would_accept_a_message_from_next_year():
    body, next_year = BODY.decode(), int(time.time()) + 31_536_000
    header = stripe_headers(BODY, at=next_year)["stripe-signature"]

    assert stripe.WebhookSignature.verify_header(body, header, STRIPE_SECRET, tolerance=300)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("body", [b"\xff\xfe{}", b"", b"\x00", "é".encode("utf-16")])
def test_bodies_that_are_no_text_are_checked_like_any_other(scheme: str, body: bytes):
    assert accepted(endpoint_of(scheme), signed(scheme, body), body)
    assert not accepted(endpoint_of(scheme), signed(scheme, body), body + b" ")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_wrong_or_empty_key_opens_nothing(scheme: str):
    endpoint = endpoint_of(scheme)

    assert not accepted(endpoint, signed(scheme, secret=OTHER_SECRET))
    assert not accepted(endpoint_of(scheme, secret=""), signed(scheme))
    assert not accepted(endpoint_of(scheme, secret=encrypt("")), signed(scheme, secret=""))
    assert not accepted(endpoint_of(scheme, secret=encrypt("whsec_")), signed(scheme, secret="whsec_"))


@pytest.mark.parametrize("secret", ["whsec_a", "whsec_####", "whsec_é", "whsec_===", " ", "whsec_ "])
def test_a_stored_secret_that_is_no_base64_opens_nothing(secret: str):
    of_no_key = {**signed("standard"), "webhook-signature": f"v1,{digest_under_no_key()}"}

    assert not accepted(endpoint_of("standard", secret=encrypt(secret)), signed("standard"))
    assert not accepted(endpoint_of("standard", secret=encrypt(secret)), of_no_key)


def digest_under_no_key() -> str:
    return base64.b64encode(hmac.digest(b"", f"msg_1.{AT}.".encode() + BODY, hashlib.sha256)).decode()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_old_secret_is_good_until_its_end_and_not_a_moment_longer(scheme: str):
    end = NOW + timedelta(hours=24)
    endpoint = endpoint_of(scheme, old_secret=encrypt(OTHER_SECRET), old_secret_until=end)
    late = int((end - timedelta(seconds=1)).timestamp())

    assert accepted(endpoint, signed(scheme))
    assert accepted(endpoint, signed(scheme, secret=OTHER_SECRET))
    assert accepted(endpoint, signed(scheme, secret=OTHER_SECRET, at=late), now=end - timedelta(seconds=1))
    assert not accepted(endpoint, signed(scheme, secret=OTHER_SECRET, at=late), now=end)
    assert accepted(endpoint, signed(scheme, at=late), now=end)


def test_one_fitting_signature_among_others_is_enough():
    right = signed("standard")["webhook-signature"]
    headers = {**signed("standard"), "webhook-signature": f"v1a,xyz v2,abc v1,{'A' * 43}= {right}"}
    stripe_right = signed("stripe")["stripe-signature"]

    assert accepted(endpoint_of("standard"), headers)
    assert accepted(endpoint_of("stripe"), {"stripe-signature": f"{stripe_right},v1={'0' * 64},v0=x"})


def test_other_versions_of_a_scheme_count_for_nothing():
    standard = signed("standard")["webhook-signature"].replace("v1,", "v0,")
    stripe_only = signed("stripe")["stripe-signature"].replace("v1=", "v0=")

    assert not accepted(endpoint_of("standard"), {**signed("standard"), "webhook-signature": standard})
    assert not accepted(endpoint_of("stripe"), {"stripe-signature": stripe_only})


def test_an_id_that_could_be_read_in_two_ways_is_refused():
    headers = standard_headers(BODY, message="msg.1", at=AT)

    assert not accepted(endpoint_of("standard"), headers)


def test_the_key_of_another_endpoint_does_not_fit():
    headers = {**signed("standard"), **signed("stripe")}

    assert accepted(endpoint_of("standard"), headers)
    assert not accepted(endpoint_of("standard", secret=encrypt(OTHER_SECRET)), headers)
    assert not accepted(endpoint_of("stripe", secret=encrypt(SHOP_SECRET)), headers)


PIECES = [
    "", " ", ",", "=", "v1", "v1,", "v1,v1,", "v1=", "t=", "t=1", "t=x,v1=y", "t=,v1=", "v1,====", "v1,é", "v1,\udcff",
    "t=٣,v1=0", "t=1777627800,v1", "t=1777627800", "t=1777627800,t=1777627800,v1=00", "nan", "inf", "-1", "1e9", "0x10",
    "1777627800.5", " 1777627800", "9" * 400, "msg 1", "msg\n1", "msg_1\x00", "a" * 300, ".", "v1,\x00", "🙂", "True",
    "v1," + "A" * 70_000, " ".join(["v1,AAAA"] * 5000),
]  # fmt: skip
NAMES = ["webhook-id", "webhook-timestamp", "webhook-signature", "stripe-signature"]


def malformed_sets() -> Iterator[dict[str, str]]:
    """500 sets of headers, each with something wrong in it."""
    rnd = random.Random(20260501)
    for number in range(500):
        right = {**signed("standard"), **signed("stripe")}
        for name in rnd.sample(NAMES[:3], rnd.randint(1, 3)) if number % 2 else NAMES[3:]:
            spoilt = rnd.choice(PIECES) if rnd.random() < 0.7 else right[name][: rnd.randrange(len(right[name]))]
            if rnd.random() < 0.2:
                del right[name]
            else:
                right[name] = spoilt
        yield right


def test_500_malformed_sets_of_headers_are_plain_refusals():
    sets = list(malformed_sets())

    standard = [accepted(endpoint_of("standard"), headers) for headers in sets[1::2]]
    as_stripe = [accepted(endpoint_of("stripe"), headers) for headers in sets[::2]]

    assert len(standard) + len(as_stripe) == 500
    assert not any(standard)
    assert not any(as_stripe)


@settings(max_examples=1000, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=200)), st.binary(max_size=50))
def test_whatever_the_headers_are_nothing_but_a_refusal_comes_of_it(headers: dict[str, str], body: bytes):
    for scheme in SCHEMES:
        assert not accepted(endpoint_of(scheme), headers, body)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 80), st.text(min_size=1, max_size=3))
def test_a_message_with_another_letter_anywhere_is_only_accepted_where_the_schemes_own_package_accepts_it(
    name: str, place: int, letters: str
):
    headers = {**signed("standard"), **signed("stripe")}
    headers[name] = headers[name][:place] + letters + headers[name][place + 1 :]

    with time_machine.travel(NOW, tick=False):
        if accepted(endpoint_of("standard"), headers):
            Webhook(SHOP_SECRET).verify(BODY, headers, json_parse=False)
        if accepted(endpoint_of("stripe"), headers):
            stripe.WebhookSignature.verify_header(BODY, headers["stripe-signature"], STRIPE_SECRET, tolerance=300)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True))
def test_what_the_schemes_own_packages_sign_is_accepted(text: str, message: str):
    body = text.encode(errors="replace")
    standard = {
        "webhook-id": message,
        "webhook-timestamp": str(AT),
        "webhook-signature": Webhook(SHOP_SECRET).sign(message, NOW, body.decode()),
    }
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), STRIPE_SECRET, timestamp=AT)

    assert verify(endpoint_of("standard"), standard, body, NOW) == message
    assert accepted(endpoint_of("stripe"), {"stripe-signature": header}, body)


def test_the_packages_leak_other_errors_where_ours_only_refuses():
    headers = {**signed("standard"), "webhook-signature": "v1"}

    with time_machine.travel(NOW, tick=False), pytest.raises(ValueError, match="unpack") as leak:
        Webhook(SHOP_SECRET).verify(BODY, headers)

    assert not isinstance(leak.value, WebhookVerificationError)
    assert not accepted(endpoint_of("standard"), headers)


def test_names_of_headers_are_found_in_any_case():
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in signed("standard").items()}

    assert accepted(endpoint_of("standard"), HttpHeaders(environ))
