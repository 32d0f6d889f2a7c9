"""Saved views and exports in the admin: looked up within the organization; a view is cleared away, and told."""

from django.urls import reverse

from auditlog.models import Entry
from opsdesk.models import SavedView
from tests.admin.conftest import signed_in
from tests.opsdesk.lists import make_export, make_view

VIEWS, EXPORTS = "admin:opsdesk_savedview", "admin:opsdesk_export"


def test_views_and_exports_are_listed_with_their_filters_in_words(desk, acme, otto, other, zoe):
    make_view(acme, otto, name="Late\u202e ones", shared=False)
    make_view(other, zoe, name="Elsewhere")
    export = make_export(acme, otto, query="state=open")

    views = desk.get(reverse(f"{VIEWS}_changelist")).content.decode()
    exports = desk.get(reverse(f"{EXPORTS}_changelist"), {"list": "cases", "q": "otto"}).content.decode()
    one = desk.get(reverse(f"{EXPORTS}_change", args=[export.pk]))

    assert "Late[U+202E] ones" in views
    assert "Elsewhere" not in views
    assert str(otto) in exports and "Cases" in exports
    assert one.status_code == 200
    assert desk.post(reverse(f"{EXPORTS}_delete", args=[export.pk]), {"post": "yes"}).status_code == 403


def test_an_admin_clears_a_view_away_and_nobody_elses(desk, acme, otto, other, zoe):
    view, theirs = make_view(acme, otto, name="Old ones", shared=False), make_view(other, zoe)

    gone = desk.post(reverse(f"{VIEWS}_delete", args=[view.pk]), {"post": "yes"})
    desk.post(reverse(f"{VIEWS}_delete", args=[theirs.pk]), {"post": "yes"})

    assert gone.status_code == 302
    assert list(SavedView.objects.all()) == [theirs]
    [entry] = Entry.objects.filter(verb="opsdesk.view.deleted")
    assert (entry.before["name"], entry.before["shared"]) == ("Old ones", False)
    assert str(otto) in entry.reason
    assert signed_in(otto).get(reverse(f"{VIEWS}_changelist")).status_code == 302
