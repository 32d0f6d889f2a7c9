"""Saved views: filters under a name, whose they are, and how they stand in the rail."""

import pytest
from django.db import OperationalError
from django.urls import reverse

from accounts.models import Membership
from auditlog.models import Entry
from opsdesk.lists import saving
from opsdesk.lists.registry import LISTS
from opsdesk.models import SavedView
from tests import factories
from tests.plugins.pages import HTMX, cost, text_of
from workflows.states import CaseState


def member_of(user) -> Membership:
    return Membership.objects.select_related("user", "organization").get(user=user)


def save(user, name: str = "Late ones", *, page: str = "queue", query: str = "view=late", shared: bool = False):
    return saving.save(page, name=name, query=query, shared=shared, member=member_of(user))


def rail(client, path: str = "/cases/") -> list[str]:
    return [item.label for item in client.get(path).context["nav"].views]


def test_a_view_is_saved_from_the_list_and_stands_in_the_rail(organization, cast, sign_in):
    client = sign_in(cast.ada)
    page = client.get("/queue/?view=late&reason=returned&after=x")
    assert "/views/new/?page=queue&amp;view=late&amp;reason=returned" in page.content.decode()

    asked = client.get("/views/new/?page=queue&view=late&text=harbour&from=queue")
    assert "view late, text harbour" in text_of(asked)
    sent = client.post(
        "/views/save/", {"page": "queue", "query": "view=late&text=harbour&x=1", "name": " Late   ones "}
    )

    view = SavedView.objects.get()
    assert sent.headers["Location"] == "/queue/?view=late&text=harbour"
    assert (view.name, view.query, view.shared, view.owner) == ("Late ones", "view=late&text=harbour", False, cast.ada)
    assert rail(client) == ["Late ones"]
    here = client.get("/queue/?text=harbour&view=late")
    assert [item.current for item in here.context["nav"].views] == [True]
    assert Entry.objects.filter(verb="opsdesk.view.saved", user=cast.ada).count() == 1


def test_only_who_may_share_shares(organization, cast, sign_in):
    with pytest.raises(saving.NotYours):
        save(cast.ada, shared=True)
    client = sign_in(cast.ada)
    assert "Share it" not in text_of(client.get("/views/new/?page=queue"))
    client.post("/views/save/", {"page": "queue", "query": "", "name": "Mine", "shared": "on"})

    assert not SavedView.objects.get().shared
    assert save(cast.maya, shared=True).shared


def test_shared_views_are_seen_by_the_organization_and_private_ones_by_their_owner(organization, cast, sign_in):
    save(cast.maya, "Everybody's", shared=True)
    save(cast.maya, "Maya's")
    save(cast.ada, "Ada's")
    _, strangers = factories.make_desk("elsewhere", suffix="-elsewhere")

    assert rail(sign_in(cast.ada)) == ["Everybody's", "Ada's"]
    assert rail(sign_in(cast.maya)) == ["Everybody's", "Maya's"]
    assert rail(sign_in(strangers.maya)) == []


def test_a_view_of_a_list_that_one_may_not_open_is_not_shown(organization, cast, sign_in):
    save(cast.maya, "Corrections", page="audit", query="verb=workflows.case.corrected", shared=True)

    assert rail(sign_in(cast.ada)) == []
    with pytest.raises(saving.NotSaved):
        save(cast.ada, page="audit", query="")


def test_the_rail_counts_what_each_view_finds(organization, cast, sign_in):
    for state in (CaseState.DONE, CaseState.DONE, CaseState.OPEN):
        factories.make_case(organization, state=state)
    save(cast.ada, "Done", page="cases", query="state=done")
    save(cast.ada, "Rejected", page="cases", query="state=rejected")
    client = sign_in(cast.ada)

    response = client.get(
        reverse("view_counts"), headers={**HTMX, "HX-Current-URL": "http://testserver/cases/?state=done"}
    )

    items = response.context["nav"].counted_views()
    assert [(item.label, item.count, item.current) for item in items] == [("Done", 2, True), ("Rejected", 0, False)]
    assert "2 rows" in text_of(response)


def test_a_number_that_takes_too_long_is_left_out(organization, cast, monkeypatch):
    slow, quick = (
        save(cast.ada, "Slow", page="cases", query=""),
        save(cast.ada, "Quick", page="cases", query="state=open"),
    )
    found = type(LISTS["cases"]).found

    def patched(self, member, query):
        rows = found(self, member, query)
        return rows if query else rows.extra(where=["pg_sleep(1) IS NOT NULL"])

    monkeypatch.setattr(type(LISTS["cases"]), "found", patched)
    factories.make_case(organization)
    monkeypatch.setattr(saving, "MILLISECONDS", 400)

    assert saving.counted([slow, quick], member_of(cast.ada)) == {quick.pk: 1}


def test_other_trouble_of_the_database_is_not_taken_for_slowness(organization, cast, monkeypatch):
    def broken(self, member, query):
        raise OperationalError("gone")

    monkeypatch.setattr(type(LISTS["cases"]), "found", broken)

    with pytest.raises(OperationalError):
        saving.counted([save(cast.ada, page="cases", query="")], member_of(cast.ada))


def test_a_view_is_renamed_moved_and_deleted_with_an_entry_each(organization, cast, sign_in):
    first, second = save(cast.ada, "First"), save(cast.ada, "Second", query="")
    client = sign_in(cast.ada)

    client.post(f"/views/{second.pk}/move/", {"to": "up"})
    assert rail(client) == ["Second", "First"]
    client.post(f"/views/{second.pk}/move/", {"to": "up"})
    client.post(f"/views/{first.pk}/change/", {"name": "Other"})
    assert rail(client) == ["Second", "Other"]
    assert "Other" in text_of(client.get("/views/"))
    client.post(f"/views/{second.pk}/delete/")
    assert rail(client) == ["Other"]

    verbs = list(Entry.objects.filter(verb__startswith="opsdesk.view.").order_by("pk").values_list("verb", flat=True))
    assert [verb.rpartition(".")[2] for verb in verbs] == ["saved", "saved", "moved", "changed", "deleted"]


def test_nobody_changes_what_is_not_theirs(organization, cast, sign_in):
    shared, private = save(cast.maya, "Shared", shared=True), save(cast.maya, "Private", query="")
    client = sign_in(cast.ada)

    for verb, form in (("change", {"name": "Mine now"}), ("move", {"to": "up"}), ("delete", {})):
        assert client.post(f"/views/{private.pk}/{verb}/", form).status_code == 404
        assert client.post(f"/views/{shared.pk}/{verb}/", form).status_code == 302

    assert set(SavedView.objects.values_list("name", flat=True)) == {"Shared", "Private"}
    assert not Entry.objects.filter(user=cast.ada).exists()
    # Whoever may share looks after the shared ones.
    saving.change(shared, name="Better", shared=True, member=member_of(cast.tomasz))
    assert rail(client) == ["Better"]


def test_names_are_once_and_views_are_limited(organization, cast, sign_in, monkeypatch):
    save(cast.ada, "Late")

    with pytest.raises(saving.NotSaved, match="already"):
        save(cast.ada, "LATE")
    for name in ("", "  ", "x" * 41):
        with pytest.raises(saving.NotSaved):
            save(cast.ada, name)
    assert save(cast.ben, "Late").owner == cast.ben
    monkeypatch.setattr(saving, "MOST", 1)
    refused = sign_in(cast.ada).post("/views/save/", {"page": "queue", "query": "", "name": "More"})
    assert refused.status_code == 409
    assert "delete one first" in text_of(refused)


def test_saved_views_cost_a_page_no_statement(organization, cast, sign_in):
    client = sign_in(cast.ada)
    before = cost(client, "/cases/")
    for number in range(5):
        save(cast.ada, f"View {number}", query="")

    assert cost(client, "/cases/") == before
