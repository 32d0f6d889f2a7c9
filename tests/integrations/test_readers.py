"""Bodies that are validly signed and still nonsense: B6. Each is refused with a sentence, none crashes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.connectors.stripe.webhook import read_stripe_event
from integrations.readers import read_standard_event
from integrations.strictjson import read_object
from workflows.errors import Unreadable
from workflows.registry import Reading, readers

DEEP = 100_000
# The name says what is wrong; the text is part of the sentence a person reads.
MALFORMED = {
    "empty": (b"", "not JSON"),
    "blanks": (b"  \n", "not JSON"),
    "no JSON": (b"refund please", "not JSON"),
    "cut off": (b'{"type": "refund.requested", "data": {', "not JSON"),
    "two documents": (b'{"type": "a", "data": {}} {"type": "b", "data": {}}', "not JSON"),
    "trailing comma": (b'{"type": "a", "data": {},}', "not JSON"),
    "single quotes": (b"{'type': 'a', 'data': {}}", "not JSON"),
    "byte order mark": ('﻿{"type": "a", "data": {}}'.encode(), "not JSON"),
    "UTF-16": ('{"type": "a", "data": {}}'.encode("utf-16"), "not UTF-8"),
    "UTF-16 without mark": ('{"type": "a", "data": {}}'.encode("utf-16-le"), "not JSON"),
    "bad UTF-8": (b'{"type": "a", "data": {"x": "\xff\xfe"}}', "not UTF-8"),
    "overlong UTF-8": (b'{"type": "a", "data": {"x": "\xc0\xaf"}}', "not UTF-8"),
    "surrogate as bytes": (b'{"type": "a", "data": {"x": "\xed\xa0\x80"}}', "not UTF-8"),
    "lone surrogate": (b'{"type": "a", "data": {"x": "\\ud800"}}', "surrogate"),
    "lone surrogate in a name": (b'{"type": "a", "data": {"\\udfff": 1}}', "surrogate"),
    "lone surrogate in a list": (b'{"type": "a", "data": {"x": [["\\ud83d"]]}}', "surrogate"),
    "NUL": (b'{"type": "a", "data": {"x": "\\u0000"}}', "NUL"),
    "raw NUL": (b'{"type": "a", "data": {"x": "\x00"}}', "not JSON"),
    "NaN": (b'{"type": "a", "data": {"amount": NaN}}', "NaN"),
    "Infinity": (b'{"type": "a", "data": {"amount": Infinity}}', "Infinity"),
    "minus Infinity": (b'{"type": "a", "data": {"amount": -Infinity}}', "Infinity"),
    "1e999": (b'{"type": "a", "data": {"amount": 1e999}}', "out of any range"),
    "1e-999": (b'{"type": "a", "data": {"amount": 1e-999}}', "out of any range"),
    "huge exponent": (b'{"type": "a", "data": {"amount": 1e99999999999999999999}}', "out of any range"),
    "5,000 digits": (b'{"type": "a", "data": {"amount": ' + b"9" * 5000 + b"}}", "more than 30 digits"),
    "31 digits": (b'{"type": "a", "data": {"amount": ' + b"9" * 31 + b"}}", "more than 30 digits"),
    "31 digits in a fraction": (b'{"type": "a", "data": {"amount": 0.' + b"1" * 31 + b"}}", "more than 30 digits"),
    "duplicate type": (b'{"type": "a", "type": "b", "data": {}}', "'type' twice"),
    "duplicate amount": (b'{"type": "a", "data": {"amount": "1", "amount": "999"}}', "'amount' twice"),
    "duplicate by escape": (b'{"type": "a", "data": {"amount": "1", "\\u0061mount": "9"}}', "'amount' twice"),
    "100,000 lists": (b"[" * DEEP, "deeper than 20"),
    "100,000 lists closed": (b"[" * DEEP + b"]" * DEEP, "deeper than 20"),
    "40,000 objects": (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, "deeper than 20"),
    "21 levels": (b'{"type": "a", "data": ' + b'{"a":' * 20 + b"1" + b"}" * 21, "deeper than 20"),
    "null": (b"null", "not an object"),
    "number": (b"42", "not an object"),
    "text": (b'"refund.requested"', "not an object"),
    "list": (b'[{"type": "a", "data": {}}]', "not an object"),
    "unclosed text full of quotes": (b'{"' + b'\\"' * DEEP, "not JSON"),
    "unclosed text of brackets": (b'{"' + b"[" * DEEP, "not JSON"),
    "ends in a backslash": (b'{"type": "a' + b"{[" * 20 + b"\\", "not JSON"),
}
WRONG_EVENTS = {
    "no type": ({"data": {}}, "no type"),
    "null type": ({"type": None, "data": {}}, "no type"),
    "number as type": ({"type": 1, "data": {}}, "type is not words"),
    "empty type": ({"type": "", "data": {}}, "type is not words"),
    "long type": ({"type": "a" * 81, "data": {}}, "type is not words"),
    "type with a line break": ({"type": "a\nb", "data": {}}, "type is not words"),
    "no data": ({"type": "refund.requested"}, "no data object"),
    "data as list": ({"type": "refund.requested", "data": []}, "no data object"),
    "timestamp as number": ({"type": "a", "data": {}, "timestamp": 1}, "timestamp is not a moment"),
    "timestamp as words": ({"type": "a", "data": {}, "timestamp": "yesterday"}, "timestamp is not a moment"),
    "timestamp without zone": ({"type": "a", "data": {}, "timestamp": "2026-05-01T09:30:00"}, "zone"),
    "impossible day": ({"type": "a", "data": {}, "timestamp": "2026-02-30T00:00:00Z"}, "timestamp is not a moment"),
}
Reader = Callable[[bytes], Reading]


@pytest.mark.parametrize("reader", [read_standard_event, read_stripe_event])
@pytest.mark.parametrize(("body", "sentence"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_bodies_are_refused_in_words(reader: Reader, body: bytes, sentence: str):
    with pytest.raises(Unreadable, match=sentence) as refusal:
        reader(body)

    assert len(str(refusal.value)) <= 300
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(("event", "sentence"), WRONG_EVENTS.values(), ids=WRONG_EVENTS)
def test_events_that_say_nothing_usable_are_refused_in_words(event: object, sentence: str):
    with pytest.raises(Unreadable, match=sentence):
        read_standard_event(json.dumps(event).encode())


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({"type": "refund.updated", "data": {"object": {}}, "created": 1}, "no Stripe event"),
        ({"object": "event", "data": {"object": {}}, "created": 1}, "no type"),
        ({"object": "event", "type": "refund.updated", "created": 1}, "about nothing"),
        ({"object": "event", "type": "refund.updated", "data": {"object": "re_1"}, "created": 1}, "about nothing"),
        ({"object": "event", "type": "refund.updated", "data": {"object": {}}}, "when it happened"),
        ({"object": "event", "type": "refund.updated", "data": {"object": {}}, "created": 10**25}, "when it happened"),
        ({"object": "event", "type": "refund.updated", "data": {"object": {}}, "created": True}, "when it happened"),
    ],
)
def test_stripe_events_that_say_nothing_usable_are_refused_in_words(event: object, sentence: str):
    with pytest.raises(Unreadable, match=sentence):
        read_stripe_event(json.dumps(event).encode())


def test_a_standard_event_is_read():
    body = b'{"type": "refund.requested", "timestamp": "2026-05-01T09:30:00Z", "data": {"amount": "141.48"}}'

    reading = read_standard_event(body)

    assert reading == Reading("refund.requested", {"amount": "141.48"}, datetime(2026, 5, 1, 9, 30, tzinfo=UTC))


def test_a_stripe_event_is_read_with_the_object_it_is_about():
    event = {"object": "event", "type": "refund.updated", "created": 1777627800, "data": {"object": {"id": "re_1"}}}

    reading = read_stripe_event(json.dumps(event).encode())

    assert reading.type == "refund.updated"
    assert reading.data["object"]["id"] == "re_1"
    assert reading.occurred_at == datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


def test_fractions_stay_the_text_they_were():
    document = read_object(b'{"a": 141.48, "b": 0.10, "c": 1e2, "d": 141, "e": -0.5}')

    assert document == {"a": "141.48", "b": "0.10", "c": "1e2", "d": 141, "e": "-0.5"}


def test_the_deepest_and_longest_that_is_allowed_is_read():
    levels = b'{"a":' * 20 + b"1" + b"}" * 20
    many = b'{"lines": [' + b", ".join([b'{"sku": "[{\\"x"}'] * 5000) + b"]}"

    assert read_object(levels)
    assert read_object(b'{"a": ' + b"9" * 30 + b"}") == {"a": int("9" * 30)}
    assert len(read_object(many)["lines"]) == 5000


def test_escapes_that_mean_real_letters_are_read():
    assert read_object(b'{"a": "\\ud83d\\ude00 \\u00e9 \\\\u0000"}') == {"a": "😀 é \\u0000"}


def test_both_readers_are_known_to_the_engine_under_the_names_of_the_schemes():
    assert readers["standard"] is read_standard_event
    assert readers["stripe"] is read_stripe_event


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes):
    for reader in (read_standard_event, read_stripe_event):
        try:
            reader(body)
        except Unreadable:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**29), 10**29) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4), st.booleans())
def test_what_json_can_say_is_read_as_python_reads_it(document: dict[str, object], ascii_only: bool):
    body = json.dumps(document, ensure_ascii=ascii_only).encode(errors="replace")
    if "\\u0000" in json.dumps(document):
        return

    assert read_object(body) == json.loads(body)
