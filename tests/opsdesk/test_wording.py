"""Lengths of time and text from outside in words."""

from datetime import timedelta

import pytest

from opsdesk.lib.wording import span, visible


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(seconds=0.4), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=48, seconds=30), "48 min"),
        (timedelta(hours=1, minutes=5), "1 h 05"),
        (timedelta(hours=4), "4 h"),
        (timedelta(days=2, hours=3), "2 d 3 h"),
        (timedelta(days=96, hours=5), "96 d"),
        (-timedelta(minutes=12), "12 min"),
    ],
)
def test_a_span_is_said_in_at_most_two_units(length, words):
    assert span(length) == words


def test_what_cannot_be_seen_is_spelled_out():
    assert visible("invoice\u202egnp.exe\u200b\x00") == "invoice[U+202E]gnp.exe[U+200B][U+0000]"
    assert visible("two\nlines, naïve ☃") == "two lines, naïve ☃"


def test_long_text_is_cut_and_says_so():
    assert visible("a" * 301) == "a" * 300 + "…"
    assert visible("a" * 300) == "a" * 300
