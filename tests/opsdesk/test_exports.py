"""Exports: what is in the file, whose rights count and when, and how long it stays."""

import csv
import io
import tracemalloc
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from accounts.models import Membership, User
from accounts.roles import Role
from auditlog.models import Entry
from auditlog.services import Actor
from opsdesk.demo import organization as demonstration
from opsdesk.lib import clock, errands
from opsdesk.lists import exporting
from opsdesk.lists.registry import LISTS
from opsdesk.models import Export, ExportPart
from opsdesk.states import ExportState
from opsdesk.tasks import keep_exports
from tests import factories
from tests.plugins.pages import HTMX, text_of
from workflows.states import CaseState


def member_of(user) -> Membership:
    return Membership.objects.select_related("user", "organization").get(user=user)


def ask(user, *, page: str = "cases", query: str = "", columns=("case", "reference", "amount", "opened"), mark=False):
    return exporting.ask(page, query=query, columns=columns, with_mark=mark, member=member_of(user))


def file_of(client, export: Export) -> list[list[str]]:
    response = client.post(reverse("take_export", args=[export.pk]))
    assert response.status_code == 200
    content = b"".join(response.streaming_content)
    assert len(content) == int(response.headers["Content-Length"])
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def told(verb: str) -> int:
    return Entry.objects.filter(verb=f"opsdesk.export.{verb}").count()


def test_the_file_holds_the_filtered_rows_and_no_others(organization, cast, sign_in, monkeypatch):
    monkeypatch.setattr(exporting, "CHUNK", 2)
    strangers, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    factories.make_case(strangers, state=CaseState.DONE)
    factories.make_case(organization)
    ours = [factories.make_case(organization, state=CaseState.DONE, key=key) for key in ("A1", "=B2", "C3")]

    export = ask(cast.maya, query="state=done&nonsense=1&before=7", mark=True)
    assert not exporting.carry_on(export.pk)
    rows = file_of(sign_in(cast.maya), export)

    assert rows[0] == ["Case", "Reference", "Amount", "Opened"]
    assert [row[0] for row in rows[1:]] == [str(case) for case in reversed(ours)]
    assert [row[1] for row in rows[1:]] == ["C3", "'=B2", "A1"]
    assert {row[2] for row in rows[1:]} == {"141.48"}
    export.refresh_from_db()
    assert (export.state, export.rows, export.total, export.query) == (ExportState.DONE, 3, 3, "state=done")
    assert ExportPart.objects.filter(export=export).count() == 2
    assert [told(verb) for verb in ("asked", "finished", "taken")] == [1, 1, 1]


@pytest.mark.parametrize("page", ["queue", "cases", "runs", "audit"])
def test_every_list_can_be_written_with_all_its_columns(organization, cast, sign_in, page):
    case = factories.make_case(organization, party_name="Harbour Lane")
    factories.make_review(case, assignee=cast.ada)
    columns = [column.key for column in LISTS[page].columns]

    export = ask(cast.maya, page=page, columns=columns)
    exporting.carry_on(export.pk)
    rows = file_of(sign_in(cast.maya), export)

    assert rows[0] == [column.label for column in LISTS[page].columns]
    assert len(rows) >= 2
    assert all(len(row) == len(columns) for row in rows)


def test_a_list_as_long_as_its_parts_ends_and_an_empty_one_has_its_head(organization, cast, sign_in, monkeypatch):
    monkeypatch.setattr(exporting, "CHUNK", 2)
    for _ in range(2):
        factories.make_case(organization)

    full, empty = ask(cast.maya), ask(cast.maya, query="state=rejected")
    for export in (full, empty):
        exporting.carry_on(export.pk)

    assert len(file_of(sign_in(cast.maya), full)) == 3
    assert len(file_of(sign_in(cast.maya), empty)) == 1


def test_a_job_that_was_killed_goes_on_where_it_was(organization, cast, sign_in, monkeypatch):
    monkeypatch.setattr(exporting, "CHUNK", 1)
    for _ in range(3):
        factories.make_case(organization)
    export = ask(cast.maya)

    assert exporting.carry_on(export.pk, seconds=-1)
    assert exporting.carry_on(export.pk, seconds=-1)
    exporting.carry_on(export.pk)

    rows = file_of(sign_in(cast.maya), export)
    assert len({row[0] for row in rows[1:]}) == len(rows[1:]) == 3


@pytest.mark.parametrize("change", [{"role": Role.OPERATOR}, {"ended_at": clock.now()}])
def test_rights_are_read_again_while_it_is_written(organization, cast, monkeypatch, change):
    monkeypatch.setattr(exporting, "CHUNK", 1)
    for _ in range(3):
        factories.make_case(organization)
    export = ask(cast.maya)
    exporting.carry_on(export.pk, seconds=-1)

    Membership.objects.filter(user=cast.maya).update(**change)
    exporting.carry_on(export.pk)

    export.refresh_from_db()
    assert export.state == ExportState.FAILED
    assert "may not" in export.note
    assert not ExportPart.objects.exists()
    assert told("given_up") == 1


def test_who_may_not_export_asks_for_nothing(organization, cast, sign_in):
    with pytest.raises(exporting.NotExported):
        ask(cast.ada)
    assert sign_in(cast.ada).get(reverse("exports")).status_code == 403
    with pytest.raises(exporting.NotExported):
        ask(cast.maya, page="nothing")
    with pytest.raises(exporting.NotExported, match="at least one column"):
        ask(cast.maya, columns=("nonsense",))

    assert not Export.objects.exists()


def test_one_person_has_three_at_once(organization, cast):
    for _ in range(exporting.MOST_AT_ONCE):
        ask(cast.maya)

    with pytest.raises(exporting.NotExported, match="wait for one"):
        ask(cast.maya)
    assert ask(cast.tomasz).by == cast.tomasz


def test_a_file_is_its_owners_alone(organization, cast, sign_in):
    export = ask(cast.maya)
    exporting.carry_on(export.pk)

    client = sign_in(cast.tomasz)
    assert client.get(reverse("export", args=[export.pk])).status_code == 404
    assert client.post(reverse("take_export", args=[export.pk])).status_code == 404
    assert client.post(reverse("remove_export", args=[export.pk])).status_code == 404
    assert told("taken") == 0


def test_it_is_served_as_an_attachment_that_nobody_sniffs(organization, cast, sign_in):
    export = ask(cast.maya)
    exporting.carry_on(export.pk)

    response = sign_in(cast.maya).post(reverse("take_export", args=[export.pk]))

    assert response.headers["Content-Disposition"].startswith('attachment; filename="cases-')
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "no-store" in response.headers["Cache-Control"]
    assert sign_in(cast.maya).get(reverse("take_export", args=[export.pk])).status_code == 405


def test_a_file_goes_when_its_time_is_over_and_its_entry_stays(organization, cast, sign_in):
    export, fresh = ask(cast.maya), ask(cast.maya)
    for each in (export, fresh):
        exporting.carry_on(each.pk)
    Export.objects.filter(pk=export.pk).update(expires_at=clock.now() - timedelta(seconds=1))

    assert keep_exports() == 1
    assert keep_exports() == 0

    export.refresh_from_db()
    assert (export.state, export.size) == (ExportState.EXPIRED, 0)
    assert [part.export_id for part in ExportPart.objects.all()] == [fresh.pk]
    assert sign_in(cast.maya).post(reverse("take_export", args=[export.pk])).status_code == 409
    assert told("removed") == 1


def test_its_owner_stops_or_removes_it(organization, cast, sign_in):
    export = ask(cast.maya)

    assert sign_in(cast.maya).post(reverse("remove_export", args=[export.pk])).status_code == 302
    assert not exporting.carry_on(export.pk)

    export.refresh_from_db()
    assert export.state == ExportState.EXPIRED
    assert sign_in(cast.maya).post(reverse("remove_export", args=[export.pk])).status_code == 302
    assert told("removed") == 1


def test_all_files_of_an_organization_go_at_once_and_no_others(organization, cast):
    _, theirs = factories.make_desk("elsewhere", suffix="-elsewhere")
    ready, running, other = ask(cast.maya), ask(cast.tomasz), ask(theirs.maya)
    for export in (ready, other):
        exporting.carry_on(export.pk)

    exporting.remove_all(organization.pk, actor=Actor.desk("tests"), reason="For a test.")

    states = {pk: Export.objects.get(pk=pk).state for pk in (ready.pk, running.pk, other.pk)}
    assert states == {ready.pk: "expired", running.pk: "expired", other.pk: "done"}
    assert {part.export_id for part in ExportPart.objects.all()} == {other.pk}


def test_one_that_lost_its_job_is_asked_for_again_and_in_the_end_given_up(organization, cast):
    export = ask(cast.maya)
    long_ago = clock.now() - timedelta(minutes=5)

    woken = []
    for _ in range(errands.MOST_TRIES + 1):
        Export.objects.filter(pk=export.pk).update(touched_at=long_ago)
        woken.append(exporting.wake_stale())

    assert woken == [1] * errands.MOST_TRIES + [0]
    export.refresh_from_db()
    assert (export.state, "No job" in export.note) == (ExportState.FAILED, True)


def test_it_is_asked_for_on_a_page_and_says_how_far_it_is(organization, cast, sign_in, monkeypatch):
    monkeypatch.setattr(exporting, "CHUNK", 1)
    for _ in range(2):
        factories.make_case(organization)
    client = sign_in(cast.maya)

    asked = client.get(reverse("new_export"), {"page": "cases", "state": "open"})
    assert "state open" in text_of(asked)
    form = {"page": "cases", "query": "state=open", "columns": ["case", "amount"], "for": "programs"}
    sent = client.post(reverse("ask_export"), form)
    export = Export.objects.get()
    assert sent.headers["Location"] == reverse("export", args=[export.pk])
    assert (export.columns, export.with_mark) == (["case", "amount"], False)

    exporting.carry_on(export.pk, seconds=-1)
    part = client.get(reverse("export", args=[export.pk]), headers=HTMX)
    assert "1 of 2 rows" in text_of(part)
    assert b"<html" not in part.content
    exporting.carry_on(export.pk)
    assert "Take the file" in text_of(client.get(reverse("export", args=[export.pk])))
    assert "ready" in text_of(client.get(reverse("exports")))
    assert client.post(reverse("ask_export"), {**form, "columns": []}).status_code == 409


@pytest.mark.long
def test_memory_does_not_grow_with_the_list(db):
    demonstration.set_up()
    call_command("load_many", "--cases", "30000", "--open", "100", stdout=StringIO())
    export = ask(User.objects.get(username="maya"), columns=[column.key for column in LISTS["cases"].columns])
    exporting.carry_on(export.pk, seconds=-1)  # what is loaded once

    tracemalloc.start()
    try:
        exporting.carry_on(export.pk, seconds=600)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    export.refresh_from_db()
    assert (export.state, export.rows) == (ExportState.DONE, 30_000)
    assert export.size > 3_000_000
    assert peak < 25_000_000
