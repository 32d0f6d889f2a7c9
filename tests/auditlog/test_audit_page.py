"""Reading the audit log."""

from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.urls import reverse

from auditlog.clicks import together
from auditlog.models import Entry
from auditlog.services import Actor, entry, record_all
from auditlog.views import changes
from opsdesk.lib import clock
from tests import factories
from tests.plugins.pages import HTMX, MOST_STATEMENTS, cost, text_of

AUDIT = "/audit/"


@pytest.fixture
def tell(organization):
    """Write an entry; `at` and `request_id` as wished."""

    def tell(verb="workflows.case.opened", *, actor=None, where=organization, **details):
        fixed = {name: details.pop(name) for name in ("at", "request_id") if name in details}
        case_id = details.get("case_id")
        details = {"subject": ("case", case_id or 1), "reason": "It arrived.", **details}
        row = entry(verb, actor=actor or Actor.desk(), organization_id=where.pk, **details)
        for name, value in fixed.items():
            setattr(row, name, value)
        with transaction.atomic():
            record_all([row])
        return row

    return tell


def shown(client, query=""):
    return list(client.get(f"{AUDIT}?{query}").context["page"].rows)


@pytest.mark.parametrize("who", ["maya", "tomasz", "ines"])
def test_whoever_may_read_it_sees_the_newest_first(cast, sign_in, tell, who):
    first = tell(case_id=12, actor=Actor.person(cast.ada))
    second = tell("workflows.case.withdrawn", case_id=12)

    response = sign_in(getattr(cast, who)).get(AUDIT)

    assert list(response.context["page"].rows)[:2] == [second, first]
    assert "Ada Okafor opened the case , CASE-12 It arrived." in text_of(response)


def test_operators_do_not_read_it(cast, sign_in, tell):
    row = tell()
    client = sign_in(cast.ada)

    assert client.get(AUDIT).status_code == client.get(f"{AUDIT}{row.pk}/").status_code == 403


def test_everything_one_click_did_stands_together(cast, tell):
    ada, desk = Actor.person(cast.ada), Actor.desk("approvals")
    rows = [
        tell("workflows.case.corrected", actor=ada, request_id="click-1", case_id=7, reason="A typing error."),
        tell("approvals.review.voided", actor=desk, request_id="click-1", case_id=7),
        tell("workflows.case.opened", request_id="other", case_id=8),
        tell("workflows.run.repaired", actor=ada, request_id="click-1", case_id=7),
    ]

    clicks = together(rows[::-1])

    assert [[each.verb.rpartition(".")[2] for each in click.entries] for click in clicks] == [
        ["corrected", "voided", "repaired"], ["opened"],
    ]  # fmt: skip
    assert (clicks[0].main, clicks[0].by_desk, clicks[0].more) == (rows[0], False, True)
    assert (clicks[1].by_desk, clicks[1].more) == (True, False)


def test_what_a_worker_did_in_one_transaction_is_told_case_by_case(tell):
    now = clock.now()
    rows = [tell(at=now, case_id=case, request_id=f"r{case}{verb}", verb=f"workflows.run.{verb}")
            for case in (1, 2) for verb in ("gathered", "decided")]  # fmt: skip

    clicks = together(rows[::-1])

    assert [(click.main.case_id, click.main.verb) for click in clicks] == [
        (2, "workflows.run.decided"), (1, "workflows.run.decided"),
    ]  # fmt: skip
    assert [len(click.entries) for click in clicks] == [2, 2]


def test_person_verb_subject_and_case_are_chosen_in_the_address(cast, sign_in, tell):
    hers = tell(actor=Actor.person(cast.ada), case_id=21)
    its = tell("workflows.failure.opened", subject=("failure", 3), case_id=22)
    client = sign_in(cast.ines)

    assert shown(client, f"user={cast.ada.pk}") == [hers]
    assert shown(client, "verb=workflows.failure.opened") == [its]
    assert shown(client, "subject_kind=failure") == [its]
    assert shown(client, "case=CASE-21") == shown(client, "case=21") == [hers]
    assert shown(client, "case=nonsense") == []
    assert set(shown(client, "verb=made.up")) >= {hers, its}


@pytest.mark.parametrize(("period", "days"), [("today", 0), ("week", 6), ("month", 29)])
def test_a_period_begins_with_the_organizations_day(cast, sign_in, tell, period, days):
    # 23:30 UTC in summer is half past midnight of the next day in London.
    now = clock.now().replace(year=2026, month=7, day=15, hour=23, minute=30, second=0, microsecond=0)
    begins = now.replace(hour=23, minute=0) - timedelta(days=days)
    inside, outside = tell(at=begins), tell(at=begins - timedelta(seconds=1))

    with time_machine.travel(now, tick=False):
        rows = shown(sign_in(cast.ines), f"period={period}")

    assert inside in rows and outside not in rows


def test_only_people_of_the_organization_are_offered(organization, cast, sign_in, tell):
    _, strangers = factories.make_desk("elsewhere", suffix="-elsewhere")

    offered = sign_in(cast.ines).get(AUDIT).context["filter"].form.fields["user"].queryset

    assert strangers.ada not in offered
    assert set(offered) == set(cast)


def test_pages_follow_each_other_by_key_and_nothing_counts_the_table(
    cast, sign_in, tell, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr("auditlog.views.SHOWN", 4)
    rows = [tell(case_id=31) for _ in range(9)]
    client = sign_in(cast.ines)

    first = client.get(f"{AUDIT}?case=31").context["page"]
    second = client.get(first.next_url).context["page"]
    with django_assert_num_queries(8) as asked:
        third = client.get(second.next_url).context["page"]

    assert [row.pk for page in (first, second, third) for row in page.rows] == [row.pk for row in reversed(rows)]
    log = [query["sql"] for query in asked if "auditlog_entry" in query["sql"]]
    assert len(log) == 1
    assert "COUNT(" not in log[0] and '"auditlog_entry"."before"' not in log[0]


def test_the_list_costs_the_same_with_many_rows(cast, sign_in, tell):
    client = sign_in(cast.ines)
    for number in range(5):
        tell(case_id=number, actor=Actor.person(cast.ada))
    few = cost(client, AUDIT)
    for number in range(55):
        tell(case_id=number, actor=Actor.person(cast.ben))

    assert cost(client, AUDIT) == few <= MOST_STATEMENTS


def test_htmx_gets_the_rows_alone_and_an_entry_beside_them(cast, sign_in, tell):
    row = tell()
    client = sign_in(cast.ines)

    rows = client.get(AUDIT, headers=HTMX).content.decode()
    beside = client.get(f"{AUDIT}{row.pk}/", headers=HTMX).content.decode()

    assert 'id="entry-rows"' in rows and "<html" not in rows
    assert 'id="entry-detail"' in beside and "<html" not in beside
    assert f'hx-get="{AUDIT}{row.pk}/"' in rows and f'href="{AUDIT}{row.pk}/"' in rows


def test_an_entry_shows_who_when_why_and_before_and_after(cast, sign_in, tell):
    row = tell(
        "workflows.case.corrected",
        actor=Actor.person(cast.ada),
        case_id=41,
        request_id="click-9",
        before={"amount": "141.48", "order": None},
        after={"amount": "62.13", "order": "536365"},
        reason="One of two was sellable.",
    )
    other = tell("approvals.review.voided", request_id="click-9", case_id=41)
    tell(case_id=42)

    text = text_of(sign_in(cast.ines).get(f"{AUDIT}{row.pk}/"))

    assert "Who Ada Okafor , person" in text
    assert "One of two was sellable." in text
    assert "Amount 141.48 62.13" in text
    assert "Order not set 536365" in text
    assert other.verb in text and "CASE-42" not in text


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {"amount": 14148, "currency": "GBP"}, [("Amount", None, "£141.48"), ("Currency", None, "GBP")]),
        ({"sending": True}, {"sending": False}, [("Sending", "yes", "no")]),
        ({"paused_reason": ""}, {"paused_reason": "x"}, [("Paused reason", "empty", "x")]),
        ({}, {"not_known": ["order.age"]}, [("Not known", None, '["order.age"]')]),
        ({"state": None}, {"state": "open"}, [("State", None, "open")]),
        ({}, {"amount": 5, "currency": "???"}, [("Amount", None, "5 minor units"), ("Currency", None, "???")]),
    ],
)
def test_values_are_told_in_words(before, after, told):
    rows = changes(Entry(before=before, after=after))

    assert [(row["field"], row["before"], row["after"]) for row in rows] == told


@pytest.mark.parametrize(
    ("subject", "name"), [("case", "approvals:case"), ("run", "workflows:run"), ("failure", "workflows:failure")]
)
def test_what_has_a_page_is_led_to(cast, sign_in, tell, subject, name):
    row = tell(subject=(subject, 17))

    assert reverse(name, args=[17]) in sign_in(cast.ines).get(f"{AUDIT}{row.pk}/").content.decode()


def test_text_from_outside_is_shown_as_text(cast, sign_in, tell):
    row = tell(reason="<script>alert(1)</script> \u202e", after={"name": "<b>x</b>"})
    client = sign_in(cast.ines)

    for page in (AUDIT, f"{AUDIT}{row.pk}/"):
        html = client.get(page).content.decode()
        assert "<script>alert" not in html and "<b>x" not in html
        assert "[U+202E]" in html


def test_entries_of_another_organization_are_not_there(cast, sign_in, tell):
    other, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    theirs = tell(where=other, request_id="shared", case_id=1)
    ours = tell(request_id="shared", case_id=1)
    client = sign_in(cast.ines)

    assert client.get(f"{AUDIT}{theirs.pk}/").status_code == 404
    assert theirs not in shown(client)
    assert list(client.get(f"{AUDIT}{ours.pk}/").context["others"]) == []
    assert client.post(f"{AUDIT}{ours.pk}/").status_code == 405
