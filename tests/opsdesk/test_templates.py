"""Rules that every template keeps."""

import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles.finders import find
from django.template import Context, Template
from django.template.loader import get_template

ROOT = Path(settings.BASE_DIR) / "templates"
ALL = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.html"))
INLINE = re.compile(
    r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|javascript:|hx-on|hx-vals=.?js:", re.IGNORECASE
)


@pytest.mark.parametrize("name", ALL)
def test_a_template_compiles_and_holds_nothing_that_the_policy_of_the_page_would_refuse(name):
    get_template(name)

    assert INLINE.search((ROOT / name).read_text()) is None


@pytest.mark.parametrize("name", ALL)
def test_a_template_opens_with_what_it_takes_and_stays_short(name):
    text = (ROOT / name).read_text()

    assert text.startswith(("{#", "{% comment %}"))
    assert text.count("\n") <= 120


@pytest.mark.parametrize("page", ["400.html", "403.html", "403_csrf.html", "404.html", "500.html", "503.html"])
def test_error_pages_stand_alone(page):
    html = get_template(page).render()

    assert "<h1>" in html
    assert page[:3] in html


def test_htmx_is_of_the_line_whose_traps_are_closed_and_told_so():
    """The next one sends no inherited headers, such as the token, and puts refusals into the page."""
    tag = Template("{% load django_htmx %}{% htmx_script %}").render(Context())
    script = re.search(r"django_htmx/htmx-2[\w.]*?\.js", tag)
    told = re.search(r"name=\"htmx-config\" content='(.*?)'", (ROOT / "base.html").read_text(), re.DOTALL)

    assert script is not None and 'version:"2.' in Path(find("django_htmx/htmx-2.min.js") or "").read_text()
    assert told is not None
    config = json.loads(told[1])
    off = ("allowEval", "includeIndicatorStyles", "allowScriptTags", "historyRestoreAsHxRequest", "historyCacheSize")
    assert not any(config[name] for name in off)
    assert config["selfRequestsOnly"] is True
    swapped = {answer["code"] for answer in config["responseHandling"] if answer["swap"]}
    assert swapped == {"[23]..", "409|422"}
