"""Editions of rules and versions: compared, published by a second person, taken back, retired."""

import pytest
from django.urls import reverse

from accounts.models import Membership
from accounts.roles import Role
from auditlog.models import Entry
from tests.admin.conftest import signed_in
from tests.admin.sent import WHY, page, publish, rule_data, steps_data
from tests.admin.test_people import change, organization_data
from tests.definitions import make_member
from workflows.models import RuleSet, WorkflowVersion
from workflows.publishing import export_pack, new_draft, new_draft_rules


@pytest.fixture
def lena(acme):
    return signed_in(make_member(acme, "lena", Role.ADMIN, is_staff=True))


def edited(desk, rule_set):
    """A draft that Tomasz made and changed."""
    desk.post(page(rule_set, "copy"), WHY)
    draft = RuleSet.objects.get(state="draft")
    rule = draft.rules.first()
    desk.post(page(rule), rule_data(rule, name="Never seen"))
    return draft


def test_who_changed_rules_last_does_not_put_them_in_force(desk, lena, rule_set):
    draft = edited(desk, rule_set)

    seen = desk.get(page(draft, "publish")).content.decode()
    publish(desk, draft)

    assert "Tomasz" in seen or "tomasz" in seen
    assert "changed these rules last, so another person puts them in force." in seen
    assert RuleSet.objects.get(pk=draft.pk).state == "draft"
    assert publish(lena, draft).status_code == 302
    assert RuleSet.objects.get(pk=draft.pk).state == "published"


def test_a_second_account_is_no_second_person(desk, tomasz, acme, rule_set):
    twin = make_member(acme, "tom", Role.ADMIN, is_staff=True)
    type(twin).objects.filter(pk=twin.pk).update(person=tomasz.person)
    draft = edited(desk, rule_set)

    publish(signed_in(twin), draft)

    assert RuleSet.objects.get(pk=draft.pk).state == "draft"


def test_who_changed_the_steps_last_does_not_put_them_in_force(desk, lena, version):
    """Whether by hand, by the way back or by a pack: another person does."""
    desk.post(page(version, "copy"), WHY)
    edited = WorkflowVersion.objects.get(state="draft")
    WorkflowVersion.objects.filter(pk=edited.pk).update(edited_by=None)
    assert desk.post(page(edited), {**steps_data(edited), "priority": "20"}).status_code == 302
    place = reverse("admin:workflows_workflowversion_import")
    assert desk.post(place, {"text": export_pack(edited, rules=False), **WHY}).status_code == 302
    imported = WorkflowVersion.objects.get(number=3)

    seen = desk.get(page(edited, "publish")).content.decode()
    for draft in (edited, imported):
        publish(desk, draft)

    assert "changed these steps last, so another person puts them in force." in seen
    assert not Entry.objects.filter(verb="workflows.version.published", user__isnull=False).exists()
    assert publish(lena, edited).status_code == 302
    assert lena.post(page(version, "revert"), WHY).status_code == 302
    back = WorkflowVersion.objects.get(number=4)
    publish(lena, back)
    assert WorkflowVersion.objects.get(state="published") == edited
    publish(desk, back)
    assert WorkflowVersion.objects.get(state="published") == back


def test_four_eyes_over_editions_are_not_closed_by_one_of_two(desk, acme, lena):
    """Though changes of rights need one person only here; a lone admin may, and it is told."""
    without = {**organization_data(acme), "rules_need_second_person": ""}
    desk.post(change(acme), without)
    asked = type(acme).objects.get(pk=acme.pk).rules_need_second_person
    Membership.objects.filter(user__username="lena").update(role=Role.VIEWER)
    desk.post(change(acme), without)

    assert asked and not type(acme).objects.get(pk=acme.pk).rules_need_second_person
    assert Entry.objects.filter(verb="accounts.organization.changed").count() == 1


def test_an_organization_may_go_without_a_second_person(desk, acme, rule_set):
    type(acme).objects.update(rules_need_second_person=False)
    draft = edited(desk, rule_set)

    publish(desk, draft)

    assert RuleSet.objects.get(pk=draft.pk).state == "published"


def test_the_way_back_is_a_draft_of_the_earlier_content_that_a_second_person_publishes(desk, lena, rule_set):
    draft = edited(desk, rule_set)
    publish(lena, draft)

    assert lena.post(page(rule_set, "revert"), WHY).status_code == 302
    back = RuleSet.objects.get(state="draft")
    publish(lena, back)
    refused = RuleSet.objects.get(pk=back.pk).state
    publish(desk, back)

    assert refused == "draft"
    assert RuleSet.objects.get(state="published").pk == back.pk
    for name in ("name", "conditions", "tier", "effect", "match"):
        assert list(back.rules.values_list(name, flat=True)) == list(rule_set.rules.values_list(name, flat=True))


def test_what_is_in_force_is_retired_with_nothing_in_its_place(desk, version, rule_set):
    for row in (rule_set, version):
        seen = desk.get(page(row, "retire")).content.decode()
        assert type(row).objects.get(pk=row.pk).state == "published"
        assert "Nothing takes its place" in seen
        assert desk.post(page(row, "retire"), WHY).status_code == 302
        assert type(row).objects.get(pk=row.pk).state == "retired"
        assert desk.post(page(row, "retire"), WHY).status_code == 404
    assert Entry.objects.filter(verb="workflows.rule_set.retired", reason="Agreed with finance").count() == 1


def test_two_editions_are_compared_in_words(desk, rule_set, zoe):
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    draft.rules.filter(name="No order on file").update(tier="fast_track")

    text = desk.get(page(draft, "compare"), {"with": rule_set.pk}).content.decode()
    alone = desk.get(page(rule_set, "compare"), {"with": "x"})

    assert "Rule “No order on file” now asks for fast-track, before it asks for full review." in text
    assert "No order on file" in desk.get(page(draft, "publish")).content.decode()
    assert alone.status_code == 200
    assert signed_in(zoe).get(page(draft, "compare")).status_code == 404


def test_a_draft_changed_since_it_was_looked_at_is_not_published(desk, lena, rule_set):
    draft = edited(lena, rule_set)
    seen = desk.get(page(draft, "publish")).context["seen"]
    draft.rules.filter(name="Repeat of an open case").delete()

    answer = desk.post(page(draft, "publish"), {**WHY, "seen": seen})

    text = answer.content.decode()
    assert "is not what you looked at: read what changes now, then publish." in text
    assert "Rule “Repeat of an open case” was taken out" in text
    assert RuleSet.objects.get(pk=draft.pk).state == "draft"
    assert publish(desk, draft).status_code == 302


@pytest.mark.parametrize("nonsense", ["amount > 5", 7, ["x"], [{"fact": ["a"], "operator": {}}]])
def test_pages_of_a_draft_that_holds_nonsense_open_and_say_what_is_wrong(desk, version, rule_set, nonsense):
    drafts = new_draft(version, by=None, reason="Edit"), new_draft_rules(rule_set, by=None, reason="Edit")
    drafts[0].steps.filter(key="refund").update(when=nonsense)
    drafts[1].rules.filter(position=1).update(conditions=nonsense)

    for draft in drafts:
        for name in ("change", "compare", "publish"):
            assert desk.get(page(draft, name)).status_code == 200
        assert "What keeps it from being published" in desk.get(page(draft, "publish")).content.decode()
    assert desk.get(page(drafts[1].rules.first())).status_code == 200
    assert desk.get(page(drafts[0], "export")).status_code == 200
