"""What stands in an exported file: no text acts as a formula, numbers stay numbers, and everything can be read back."""

import csv
import io
import random
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from opsdesk.lists import sheets
from opsdesk.lists.registry import Column

LONDON = ZoneInfo("Europe/London")
LIVE = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\tx",
    " =1",
    "  \u00a0@x",
    "\u200b=1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20x",
    "=cmd|' /C calc'!A0",
    "'=1",
    "''-1",
]
DEAD = [
    "",
    "Harbour Lane",
    "a=1",
    "1-2",
    "'quoted'",
    "O'Hara",
    "\u2212 5",
    "x\ty",
    "a;=1",
    'say "hi"',
    "a\nb",
    "ünïcode ✓",
]


def lines_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


@pytest.mark.parametrize("text", LIVE)
def test_no_text_begins_like_a_formula(text):
    guarded = sheets.guarded(text)

    assert guarded.startswith("'")
    assert sheets.unguarded(guarded) == text


@pytest.mark.parametrize("text", DEAD)
def test_every_other_text_stays_as_it_is(text):
    assert sheets.guarded(text) == text == sheets.unguarded(text)


def test_what_is_written_can_be_read_back_ten_thousand_times():
    pieces = [
        "=",
        "+",
        "-",
        "@",
        "\t",
        "\r",
        "\n",
        " ",
        "'",
        '"',
        ",",
        ";",
        "\uff1d",
        "\uff20",
        "\ufeff",
        "a",
        "9",
        "é",
    ]
    chance = random.Random(7)
    texts = ["".join(chance.choices(pieces, k=chance.randint(0, 6))) for _ in range(10_000)]

    read = lines_of(sheets.lines(texts, [Column("text", "Text", lambda text: text)], LONDON))

    assert [sheets.unguarded(cell) for (cell,) in read] == texts
    assert not [cell for (cell,) in read if cell[:1] in "=+-@\t\r\n" and cell]


def test_numbers_stand_without_quotes_and_negative_ones_stay_numbers():
    columns = [Column(str(place), str(place), lambda row, place=place: row[place]) for place in range(4)]
    row = [Decimal("-141.48"), -5, "-5", None]

    assert sheets.lines([row], columns, LONDON) == b'-141.48,-5,"\'-5",""\r\n'


def test_instants_carry_their_offset_and_the_mark_stands_first_where_it_is_wanted():
    columns = [Column("at", "At", lambda at: at)]
    at = datetime(2026, 7, 1, 12, 0, 0, 5, tzinfo=UTC)

    assert sheets.lines([at], columns, LONDON) == b'"2026-07-01T13:00:00+01:00"\r\n'
    assert sheets.header(columns, with_mark=True) == b'\xef\xbb\xbf"At"\r\n'
    assert sheets.header(columns, with_mark=False) == b'"At"\r\n'


def test_a_semicolon_within_a_text_begins_no_cell():
    written = sheets.lines(["a;=1+1"], [Column("text", "Text", lambda text: text)], LONDON).decode()

    assert list(csv.reader([written.strip()], delimiter=";")) == [["a;=1+1"]]
