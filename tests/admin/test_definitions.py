"""Workflows, rules and thresholds in the admin: drafts are edited, published editions are read."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from approvals.models import Policy
from auditlog.models import Entry
from tests.admin.conftest import signed_in
from tests.admin.sent import WHY, bands_data, conditions_data, errors, page, publish, rows_data, steps_data
from tests.definitions import PACK, make_tiers
from workflows.models import RuleSet, Workflow, WorkflowVersion
from workflows.publishing import export_pack, new_draft, new_draft_rules


def test_published_editions_can_be_read_and_not_changed(desk, version, rule_set, policy):
    for row in (version, rule_set, policy):
        seen = desk.get(page(row))
        assert seen.status_code == 200
        assert 'name="_save"' not in seen.content.decode()
        assert desk.post(page(row), WHY).status_code == 403


def test_triggers_are_edited_as_rows_and_their_settings_are_checked(desk, version):
    draft = new_draft(version, by=None, reason="Edit")
    new = {"position": "", "key": "weekly", "kind": "schedule", "config": '{"cron": "0 7 * * mon"}'}
    held = list(draft.triggers.order_by("position"))
    data = steps_data(draft) | rows_data("triggers", held, ["position", "key", "kind", "config"], extra=[new])

    refused = desk.post(page(draft), {**data, f"triggers-{len(held)}-config": '{"cron": "sometimes"}'})
    done = desk.post(page(draft), data)

    assert "five fields" in errors(refused)
    assert done.status_code == 302, errors(done)
    trigger = draft.triggers.get(key="weekly")
    assert (trigger.position, trigger.config) == (len(held) + 1, {"cron": "0 7 * * mon"})
    assert f"trigger {trigger.pk}" in Entry.objects.get(verb="workflows.version.changed").after
    shown = desk.get(page(draft)).content.decode()
    assert "Begins a run when the clock shows 0 7 * * mon. It fires once the version is published." in shown


def test_steps_change_places_and_their_settings_are_checked(desk, version):
    draft = new_draft(version, by=None, reason="Edit")
    data = steps_data(draft)
    swapped = {**data, "steps-0-position": 2, "steps-1-position": 1}
    broken = {**data, "steps-3-config": '{"connection": "gateway", "operation": "burn"}'}

    refused = desk.post(page(draft), broken)
    done = desk.post(page(draft), swapped)

    assert "“burn” is not one of them" in errors(refused)
    assert done.status_code == 302, errors(done)
    assert list(draft.steps.values_list("kind", flat=True)) == ["decide", "gather", "approve", "act"]


def test_a_step_gets_its_condition_by_drop_downs(desk, version):
    draft = new_draft(version, by=None, reason="Edit")
    condition = {"fact": "amount", "operator": "above", "value": "50.00 GBP"}
    data = steps_data(draft) | conditions_data("steps-3-when", [condition]) | {"steps-3-match": "any"}
    broken = {**data, "steps-3-when-0-operator": "is_true"}

    refused = desk.post(page(draft), broken)
    done = desk.post(page(draft), data)
    unchanged = desk.post(page(draft), steps_data(draft))

    assert "Condition 1: choose an operator that fits amount" in errors(refused)
    assert (done.status_code, unchanged.status_code) == (302, 302)
    step = draft.steps.get(key="refund")
    assert (step.when, step.match) == ([condition], "any")
    text = desk.get(page(draft)).content.decode()
    assert (
        '<option value="amount" data-type="money" data-label="amount" title="How much is asked for." selected>' in text
    )
    assert ">50.00</textarea>" in text


def test_publishing_says_what_keeps_it_and_offers_no_button(desk, version):
    draft = new_draft(version, by=None, reason="Edit")
    draft.steps.filter(kind="approve").delete()

    seen = desk.get(page(draft, "publish")).content.decode()
    publish(desk, draft)

    assert "act needs a step of the kind approve before it." in seen
    assert "change_reason" not in seen
    assert WorkflowVersion.objects.get(pk=draft.pk).state == "draft"


def test_publishing_shows_what_changes_and_asks_why(desk, tomasz, rule_set):
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    draft.rules.filter(name="Repeat of an open case").delete()

    seen = desk.get(page(draft, "publish")).content.decode()
    refused = desk.post(page(draft, "publish"), {"change_reason": ""})
    done = publish(desk, draft)

    assert '<tr data-change="removed"><td>removed</td><td><code>Repeat of an open case:' in seen
    assert refused.status_code == 200
    assert done.url == page(draft)
    draft.refresh_from_db()
    assert (draft.state, draft.published_by) == ("published", tomasz)
    assert Entry.objects.filter(verb="workflows.rule_set.published", reason="Agreed with finance").count() == 1


def test_looking_at_a_button_does_nothing(desk, version):
    draft = new_draft(version, by=None, reason="Edit")

    for name in ("publish", "discard", "copy"):
        desk.get(page(draft, name))

    assert WorkflowVersion.objects.filter(state="draft").count() == 1
    assert WorkflowVersion.objects.get(state="published") == version


def test_a_published_edition_is_copied_and_a_draft_thrown_away(desk, version, rule_set, policy):
    for row in (version, rule_set, policy):
        assert desk.post(page(row, "discard"), WHY).status_code == 404
        answer = desk.post(page(row, "copy"), WHY)
        draft = type(row).objects.get(state="draft")
        assert answer.url == page(draft)
        assert desk.post(page(draft, "discard"), WHY).status_code == 302
        assert list(type(row).objects.all()) == [row]


def test_amounts_are_typed_as_people_write_them(desk, policy):
    desk.post(page(policy, "copy"), WHY)
    draft = Policy.objects.get(state="draft")

    text = desk.get(page(draft)).content.decode()
    answer = desk.post(
        page(draft),
        bands_data(draft, [("0.00", "instant"), ("30.50", "fast_track"), ("150.00", "full_review")]),
    )

    assert 'value="25.00"' in text
    assert answer.status_code == 302, errors(answer)
    assert list(draft.thresholds.values_list("above_minor", flat=True)) == [0, 3050, 15000]
    entry = Entry.objects.get(verb="approvals.policy.changed")
    (change,) = entry.after.values()
    assert change == {"above_minor": 3050}


def test_bands_change_places(desk, policy):
    desk.post(page(policy, "copy"), WHY)
    draft = Policy.objects.get(state="draft")

    answer = desk.post(
        page(draft),
        bands_data(draft, [("0.00", "instant"), ("150.00", "full_review"), ("25.00", "fast_track")]),
    )

    assert answer.status_code == 302, errors(answer)
    found = set(draft.thresholds.values_list("above_minor", "tier"))
    assert found == {(0, "instant"), (2500, "fast_track"), (15000, "full_review")}


@pytest.mark.parametrize("above", ["", "ten", "10.005", "-5.00", "1e3", "NaN", "9" * 30])
def test_an_amount_that_is_none_is_refused(desk, policy, above):
    desk.post(page(policy, "copy"), WHY)
    draft = Policy.objects.get(state="draft")

    answer = desk.post(
        page(draft), bands_data(draft, [("0.00", "instant"), (above, "fast_track"), ("150", "full_review")])
    )

    assert answer.status_code == 200
    assert "above" in errors(answer)


def test_two_bands_at_one_amount_are_refused(desk, policy):
    desk.post(page(policy, "copy"), WHY)
    draft = Policy.objects.get(state="draft")

    answer = desk.post(
        page(draft), bands_data(draft, [("0.00", "instant"), ("25.00", "fast_track"), ("25.00", "full_review")])
    )

    assert "begin at the same amount" in errors(answer)


def test_a_policy_that_gets_milder_is_not_published(desk, policy):
    desk.post(page(policy, "copy"), WHY)
    draft = Policy.objects.get(state="draft")
    desk.post(page(draft), bands_data(draft, [("0.00", "full_review"), ("25.00", "instant"), ("150", "full_review")]))

    seen = desk.get(page(draft, "publish")).content.decode()
    publish(desk, draft)

    assert "a larger amount never asks for less" in seen
    assert Policy.objects.get(state="published") == policy


def test_a_first_policy_is_drafted_from_nothing(desk, acme, version):
    data = {"workflow": version.workflow_id, "thresholds-TOTAL_FORMS": 1, "thresholds-INITIAL_FORMS": 0}
    band = {"thresholds-0-currency": "GBP", "thresholds-0-above": "0", "thresholds-0-tier": "full_review"}

    answer = desk.post(reverse("admin:approvals_policy_add"), {**data, **band, **WHY})

    assert answer.status_code == 302, errors(answer)
    policy = Policy.objects.get()
    assert (policy.number, policy.state) == (1, "draft")
    assert Entry.objects.get(subject_kind="policy").verb == "approvals.policy.drafted"


def test_a_pack_goes_out_and_comes_in(desk, version, other, zoe):
    file = desk.get(page(version, "export"))
    theirs = signed_in(zoe)

    answer = theirs.post(
        reverse("admin:workflows_workflowversion_import"), {"text": file.content.decode(), **WHY}, follow=True
    )

    assert file.headers["Content-Disposition"] == 'attachment; filename="refund-v1.yaml"'
    copied = WorkflowVersion.objects.get(workflow__organization=other)
    assert answer.redirect_chain[-1][0] == page(copied)
    assert export_pack(copied) == file.content.decode() == export_pack(version)


@pytest.mark.parametrize(
    ("text", "says"), [("", "Give a file or a text"), ("a: [", "Line 1"), ("x: 1", "A pack has no “x”")]
)
def test_a_pack_that_cannot_be_read_is_refused_with_the_line(desk, acme, text, says):
    answer = desk.post(reverse("admin:workflows_workflowversion_import"), {"text": text, **WHY})

    assert says in answer.content.decode()
    assert not Workflow.objects.exists()


def test_definitions_of_others_are_out_of_reach(version, rule_set, policy, zoe):
    theirs = signed_in(zoe)
    drafts = [new_draft(version, by=None, reason="Edit"), new_draft_rules(rule_set, by=None, reason="Edit")]

    for row in (version, rule_set, policy, version.workflow):
        assert theirs.get(page(row)).status_code == 302
        listed = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
        assert str(row) not in theirs.get(listed).content.decode()
    for row in (version, rule_set, policy, *drafts):
        for name in ("publish", "copy", "discard", "retire", "revert"):
            assert theirs.post(page(row, name), WHY).status_code == 404
    assert theirs.get(page(version, "export")).status_code == 404
    assert RuleSet.objects.filter(state="draft").count() == 1


def test_a_draft_of_another_organizations_workflow_cannot_be_made(version, zoe):
    data = {"workflow": version.workflow_id, "thresholds-TOTAL_FORMS": 0, "thresholds-INITIAL_FORMS": 0}

    answer = signed_in(zoe).post(reverse("admin:approvals_policy_add"), {**data, **WHY})

    assert "workflow" in answer.context["adminform"].form.errors
    assert not Policy.objects.exists()


def test_the_operators_browser_gets_nowhere(otto, version):
    browser = signed_in(otto)
    draft = new_draft(version, by=None, reason="Edit")

    for name in ("change", "publish", "copy", "discard", "export"):
        assert browser.get(page(draft, name), follow=True).status_code == 403


def test_a_draft_published_meanwhile_is_not_changed(desk, version):
    draft = new_draft(version, by=None, reason="Edit")
    data = steps_data(draft)
    publish(desk, draft)

    assert desk.post(page(draft), data).status_code == 403


def test_a_pack_is_tried_without_being_imported(desk, acme):
    place = reverse("admin:workflows_workflowversion_import")
    make_tiers(acme)
    file = SimpleUploadedFile("pack.yaml", PACK.encode())

    sound = desk.post(place, {"file": file, "look": "1"}).content.decode()
    wrong = desk.post(place, {"text": PACK.replace("kind: approve", "kind: dance"), "look": "1"}).content.decode()
    neither = desk.post(place, {"look": "1"}).content.decode()

    assert 'data-rehearsal="sound"' in sound and "A new workflow “Refunds” (refund) is made." in sound
    assert "slug: refund" in sound  # what came as a file can be imported from the form
    assert 'data-rehearsal="wrong"' in wrong and "step approve: there is no step kind “dance”" in wrong
    assert "Give a file or a text" in neither and "data-rehearsal" not in neither
    assert not Workflow.objects.exists()
    assert "This field is required" in desk.post(place, {"text": PACK}).content.decode()
