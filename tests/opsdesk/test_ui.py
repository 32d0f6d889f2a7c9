"""Tags and filters of the pages."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.template import Context, Template

from opsdesk.lib.money import BadAmount, Money
from opsdesk.templatetags import ui

NOON = datetime(2011, 8, 31, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _at_noon():
    with time_machine.travel(NOON, tick=False):
        yield


def render(template: str, **context: object) -> str:
    return Template(template).render(Context(context))


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (NOON + timedelta(minutes=48), ">in 48 min<"),
        (NOON - timedelta(minutes=31), ">31 min late<"),
        (NOON + timedelta(hours=3, minutes=40), ">in 3 h 40<"),
    ],
)
def test_a_due_time_is_said_from_now_with_the_exact_one_on_hover(at, words):
    html = ui.until(at)

    assert words in html
    assert f'datetime="{at.isoformat()}"' in html
    assert 'title="Wed 31 Aug 2011' in html


def test_late_and_soon_are_toned_and_worded():
    assert 'class="late"' in ui.until(NOON - timedelta(seconds=1))
    assert 'class="soon"' in ui.until(NOON + timedelta(minutes=59))
    assert "class=" not in ui.until(NOON + timedelta(hours=1))


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (NOON - timedelta(minutes=4), ">11:56<"),
        (NOON - timedelta(days=1), ">30 Aug 12:00<"),
        (NOON - timedelta(days=400), ">27 Jul 2010<"),
    ],
)
def test_a_moment_names_the_day_when_it_was_another(at, words):
    assert words in ui.moment(at)


def test_an_icon_carries_no_style_and_is_no_content():
    html = ui.icon("inbox", "s")

    assert html.startswith("<svg") and 'class="i s"' in html and 'aria-hidden="true"' in html
    assert "style" not in html


def test_text_from_outside_is_escaped_and_spelled():
    assert ui.outside("<b>\u202e") == "<bdi>&lt;b&gt;[U+202E]</bdi>"


@pytest.mark.parametrize(("name", "letters"), [("Ada Okafor", "AO"), ("Cher", "C"), ("", "?"), ("a b c", "AC")])
def test_an_avatar_shows_first_and_last_initial(name, letters):
    assert ui.initials(name) == letters


def test_the_money_line_adds_up_and_is_drawn_to_scale():
    line = ui.money_line(Money(20000, "GBP"), Money(5000, "GBP"), Money(10000, "GBP"))

    assert str(line["left"]) == "£50.00"
    assert line["left_note"] == "25 % of what was captured"
    assert [(part["kind"], part["x"], part["width"]) for part in line["segments"]] == [
        ("gone", 0, 246),
        ("take", 250, 496),
        ("left", 750, 250),
    ]


def test_asking_more_than_is_left_is_said_and_drawn():
    line = ui.money_line(Money(10000, "GBP"), Money(5000, "GBP"), Money(8000, "GBP"))

    assert line["over"]
    assert line["left_note"] == "£30.00 more than is left"
    assert [part["kind"] for part in line["segments"]] == ["gone", "take", "over"]


@pytest.mark.parametrize(
    ("captured", "asked"),
    [(None, Money(1000, "GBP")), (Money(5000, "EUR"), Money(1000, "GBP"))],
)
def test_what_cannot_be_subtracted_is_not_known(captured, asked):
    html = render("{% money_line captured refunded asked %}", captured=captured, refunded=Money(0, "GBP"), asked=asked)

    assert "not known" in html.split("Left after")[1]
    assert "<rect" not in html


def test_nothing_refunded_is_zero_and_not_unknown():
    html = render("{% money_line a b a %}", a=Money(1000, "GBP"), b=Money(0, "GBP"))

    assert "£0.00" in html
    assert "not known" not in html


@pytest.mark.parametrize(
    ("value", "tone", "above", "cut"),
    [(30, "mid", 0, False), (90, "mid", 13.0, False), (150, "over", 39.0, False), (900, "over", 78.0, True)],
)
def test_a_bar_shows_how_far_above_its_mark_a_value_is(value, tone, above, cut):
    drawn = ui.bar(timedelta(minutes=value), timedelta(hours=1), "waits")

    assert (drawn["tone"], drawn["above"], drawn["cut"], drawn["mark"]) == (tone, above, cut, 26.0)


def test_a_countdown_tells_share_and_words():
    drawn = ui.countdown(NOON + timedelta(minutes=6), since=NOON - timedelta(minutes=24))

    assert (drawn["share"], drawn["words"], drawn["close"]) == (20, "6 min", True)
    assert ui.countdown(NOON - timedelta(minutes=1), over="gone")["words"] == "gone"
    assert "not started" in render("{% countdown at %}", at=None)


def test_money_needs_a_known_currency():
    class Row:
        minor, currency = 100, "XXX"

    assert ui.money(None) == ""
    with pytest.raises(BadAmount):
        ui.money(Row())
