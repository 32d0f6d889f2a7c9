"""Quarantined events: shown so that nothing in them can pose as anything else."""

import pytest

from tests import factories
from tests.plugins.pages import MOST_STATEMENTS, cost, text_of
from workflows.states import EventState
from workflows.views.quarantine import preview

QUARANTINE = "/failures/quarantine/"


def quarantined(organization, body=b"not JSON", **fields):
    return factories.make_event(organization, body, state=EventState.QUARANTINED, **fields)


def test_an_event_says_why_and_shows_its_body(organization, cast, sign_in):
    event = quarantined(organization, b'{"type": "refund.requested", "data": NaN}', reason="The body has NaN.")

    text = text_of(sign_in(cast.maya).get(QUARANTINE))

    assert f"Event {event.pk} wholesale-uk/shop" in text
    assert "The body has NaN." in text
    assert '{"type": "refund.requested", "data": NaN}' in text


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"a\x00b\x1b[31m", "a[U+0000]b[U+001B][31m"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("\u202eevil\u200b".encode(), "[U+202E]evil[U+200B]"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        ("“£”".encode(), "“£”"),
        (b"", ""),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(body, shown):
    assert preview(body) == shown


def test_markup_in_a_body_is_text(organization, cast, sign_in):
    quarantined(organization, b"<script>alert(1)</script>")

    html = sign_in(cast.maya).get(QUARANTINE).content.decode()

    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_long_body_is_cut_at_two_kilobytes_and_said_to_be(organization, cast, sign_in):
    quarantined(organization, b"x" * 200_000)

    response = sign_in(cast.maya).get(QUARANTINE)

    assert response.content.decode().count("x" * 2048) == 1
    assert "x" * 2049 not in response.content.decode()
    assert "195.3\xa0KB, the first 2.0\xa0KB are shown" in response.content.decode()


def test_only_quarantined_events_of_the_organization_are_listed(organization, cast, sign_in):
    other, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    quarantined(other)
    factories.make_event(organization)
    factories.make_event(organization, state=EventState.IGNORED)

    response = sign_in(cast.ada).get(QUARANTINE)

    assert list(response.context["page"].rows) == []
    assert "Every event could be read" in text_of(response)


def test_the_list_costs_the_same_with_many_rows(organization, cast, sign_in):
    client = sign_in(cast.maya)
    for _ in range(5):
        quarantined(organization)
    few = cost(client, QUARANTINE)
    for _ in range(55):
        quarantined(organization)

    assert cost(client, QUARANTINE) == few <= MOST_STATEMENTS
