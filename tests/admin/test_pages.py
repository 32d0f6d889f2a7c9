"""Every page of the admin: it opens, stays within its organization, and costs the same with more rows."""

import uuid

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.recorded import CappedPaginator
from auditlog.models import Entry
from auditlog.services import Actor, entry, record_all
from tests.admin.conftest import signed_in
from tests.definitions import PACK, make_member, make_tiers
from workflows.models import Event
from workflows.publishing import new_draft_rules, publish_pack

OURS = ("accounts", "auditlog", "workflows", "integrations", "approvals")


def our_models():
    return sorted((model for model in admin.site._registry if model._meta.app_label in OURS), key=lambda m: m.__name__)


def entries(organization, count):
    record_all(
        entry(
            "workflows.case.opened",
            actor=Actor.desk(),
            organization_id=organization.pk,
            subject=("case", number),
            reason=f"Asked by {organization.slug}",
        )
        for number in range(1, count + 1)
    )


def events(organization, count):
    Event.objects.bulk_create(
        Event(
            organization=organization,
            source=f"{organization.slug}/shop",
            dedupe_key=str(uuid.uuid4()),
            reader="standard",
            reason=f"From {organization.slug}",
            body=b'{"type": "x", "data": "\xe2\x80\xae"}',
            body_hash="0" * 64,
            type="refund.requested",
        )
        for _ in range(count)
    )


@pytest.mark.parametrize("model", our_models(), ids=lambda model: model.__name__)
def test_every_page_opens(desk, acme, model):
    make_tiers(acme)
    version = publish_pack(acme, PACK, by=None, reason="First day")
    new_draft_rules(version.workflow.rule_sets.get(), by=None, reason="Edit")
    events(acme, 2)
    place = f"admin:{model._meta.app_label}_{model._meta.model_name}"

    assert desk.get(reverse(f"{place}_changelist")).status_code == 200
    assert desk.get(reverse(f"{place}_changelist"), {"q": "x"}).status_code == 200
    assert desk.get(reverse(f"{place}_add")).status_code in (200, 403)
    for row in model._default_manager.all()[:3]:
        assert desk.get(reverse(f"{place}_change", args=[row.pk])).status_code == 200, row
        assert desk.get(reverse(f"{place}_history", args=[row.pk])).status_code == 200, row


def test_no_page_offers_bulk_actions_or_deletes(desk, acme, rf, tomasz):
    request = rf.get("/")
    request.user, request.membership = tomasz, tomasz.memberships.get()

    for model in our_models():
        page = admin.site.get_model_admin(model)
        assert not page.get_actions(request), model
        assert not page.has_delete_permission(request), model


@pytest.mark.parametrize(("model", "fill"), [(Entry, entries), (Event, events)], ids=["entries", "events"])
def test_what_happened_is_read_only_and_each_reads_their_own(tomasz, zoe, model, fill):
    acme, other = (user.memberships.get().organization for user in (tomasz, zoe))
    desk = signed_in(tomasz)
    fill(acme, 3)
    fill(other, 3)
    place = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    mine = model.objects.filter(organization=acme).first()

    listed = desk.get(reverse(f"{place}_changelist")).content.decode()

    assert "by acme" in listed or "From acme" in listed
    assert "by other" not in listed
    assert "From other" not in listed
    assert desk.post(reverse(f"{place}_change", args=[mine.pk]), {"reason": "x"}).status_code == 403
    assert signed_in(zoe).get(reverse(f"{place}_change", args=[mine.pk])).status_code == 302


def test_entries_are_found_by_the_part_that_tells(desk, acme):
    entries(acme, 1)
    place = reverse("admin:auditlog_entry_changelist")

    found = [desk.get(place, {"area": area}).context["cl"].result_count for area in ("workflows", "accounts")]

    assert found == [1, 0]


@pytest.mark.parametrize(("model", "fill"), [(Entry, entries), (Event, events)], ids=["entries", "events"])
def test_long_lists_are_counted_only_so_far(desk, acme, model, fill, monkeypatch):
    monkeypatch.setattr(CappedPaginator, "most", 60)
    place = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
    counts = []
    for more in (10, 200):
        fill(acme, more)
        with CaptureQueriesContext(connection) as queries:
            answer = desk.get(reverse(place))
        counts.append((answer.context["cl"].result_count, len(queries)))

    assert [rows for rows, _ in counts] == [10, 60]
    assert counts[0][1] == counts[1][1]


def test_unseen_characters_of_a_body_are_spelled_out(desk, acme):
    events(acme, 1)

    text = desk.get(reverse("admin:workflows_event_change", args=[Event.objects.get().pk])).content.decode()

    assert "[U+202E]" in text


def test_lists_cost_the_same_with_more_rows(desk, acme):
    places = ["accounts_membership", "accounts_team", "accounts_user", "accounts_person"]
    costs = []
    for round_number in range(2):
        for number in range(round_number * 5):
            make_member(acme, f"extra{number}")
        for place in places:
            with CaptureQueriesContext(connection) as queries:
                desk.get(reverse(f"admin:{place}_changelist"))
            costs.append(len(queries))

    assert costs[:4] == costs[4:]
    assert max(costs) <= 12
