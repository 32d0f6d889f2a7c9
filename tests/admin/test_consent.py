"""Tiers and reason codes in the admin."""

import pytest
from django.urls import reverse

from accounts.models import Team
from accounts.roles import Role
from approvals.models import ReasonCode, Stage, TierSettings
from auditlog.models import Entry
from tests.definitions import make_member
from workflows.states import Tier

WHY = {"change_reason": "Two people from now on"}


@pytest.fixture
def team(acme, otto):
    team = Team.objects.create(organization=acme, name="Refunds", slug="refunds")
    team.members.add(otto)
    return team


@pytest.fixture
def full_review(acme, team):
    settings = TierSettings.objects.create(organization=acme, tier=Tier.FULL_REVIEW)
    Stage.objects.create(tier=settings, team=team, position=1)
    return settings


def page(row):
    return reverse(f"admin:approvals_{row._meta.model_name}_change", args=[row.pk])


def tier_data(settings, stages, **changes):
    rows = list(settings.stages.order_by("position"))
    data = {"stages-TOTAL_FORMS": len(stages), "stages-INITIAL_FORMS": len(rows)}
    data |= {"rungs-TOTAL_FORMS": 0, "rungs-INITIAL_FORMS": 0}
    for index, (position, team, votes) in enumerate(stages):
        data |= {f"stages-{index}-position": position, f"stages-{index}-team": team.pk, f"stages-{index}-votes": votes}
    data |= {f"stages-{index}-id": row.pk for index, row in enumerate(rows)}
    own = {"due_minutes": 240, "objection_minutes": 30, "undo_seconds": 10, "text_minimum": 10}
    own |= {"second_opinion_percent": 0, "bulk_most": 50}
    return {**data, **own, **WHY, **changes}


def said(answer):
    return str(answer.context["inline_admin_formsets"][0].formset.non_form_errors())


def test_stages_are_changed_and_recorded(desk, acme, full_review, team):
    make_member(acme, "maya", Role.MANAGER).teams.add(team)
    leads = Team.objects.create(organization=acme, name="Leads", slug="leads")
    leads.members.add(make_member(acme, "lena", Role.MANAGER))

    answer = desk.post(page(full_review), tier_data(full_review, [(2, team, 2), (1, leads, 1)]))

    assert answer.status_code == 302
    assert [str(stage) for stage in full_review.stages.all()] == ["1 of Leads", "2 of Refunds"]
    entry = Entry.objects.get()
    first, second = full_review.stages.all()
    assert entry.after == {
        f"stage {second.pk}": {"position": 2, "votes": 2},
        f"stage {first.pk}": {"position": 1, "team": "Leads", "more_teams": [], "every_team": False, "votes": 1},
    }


def test_a_tier_nobody_could_pass_is_refused(desk, acme, full_review, team):
    make_member(acme, "vera", Role.VIEWER).teams.add(team)
    otto = team.members.get(username="otto")
    team.members.add(make_member(acme, "otto2"))
    type(otto).objects.filter(username="otto2").update(person=otto.person)

    too_many = desk.post(page(full_review), tier_data(full_review, [(1, team, 2)]))
    none = desk.post(page(full_review), {**tier_data(full_review, [(1, team, 1)]), "stages-0-DELETE": "on"})

    assert "Refunds has 1 people who may decide; 2 votes could never be reached." in said(too_many)
    assert "needs at least one stage" in said(none)
    assert full_review.stages.get().votes == 1


def test_the_teams_of_others_do_not_vote_here(desk, other, full_review):
    theirs = Team.objects.create(organization=other, name="Theirs", slug="theirs")

    answer = desk.post(page(full_review), tier_data(full_review, [(1, theirs, 1)]))

    assert answer.status_code == 200
    assert full_review.stages.get().team.name == "Refunds"


def test_a_reason_code_is_switched_off_and_keeps_its_code(desk, acme):
    code = ReasonCode.objects.create(
        organization=acme, verdict="approve", code="returned", label="Goods came back", suggested_for=["returned"]
    )

    desk.post(
        page(code),
        {"code": "other", "verdict": "reject", "label": "Goods are back", "suggested_for": "returned, damaged"}
        | {"position": 3, **WHY},
    )

    code.refresh_from_db()
    assert (code.code, code.verdict, code.label, code.enabled) == ("returned", "approve", "Goods are back", False)
    assert code.suggested_for == ["returned", "damaged"]
    assert Entry.objects.get().after["enabled"] is False


def test_a_ladder_is_set_up_and_climbs_in_time(desk, full_review, team):
    stages = [(1, team, 1)]
    rungs = {"rungs-TOTAL_FORMS": 2, "rungs-0-position": 1, "rungs-0-after_minutes": 60, "rungs-0-what": "remind"}
    later = {**rungs, "rungs-1-position": 2, "rungs-1-after_minutes": 120, "rungs-1-what": "manager"}
    earlier = {**later, "rungs-1-after_minutes": 30}

    refused = desk.post(page(full_review), tier_data(full_review, stages, **earlier))
    done = desk.post(page(full_review), tier_data(full_review, stages, **later))

    assert refused.status_code == 200
    assert done.status_code == 302
    assert [str(rung) for rung in full_review.rungs.all()] == [
        "after 60 min: remind whoever it is with",
        "after 120 min: tell the manager",
    ]
    assert Entry.objects.get().after[f"rung {full_review.rungs.first().pk}"]["after_minutes"] == 60


def test_a_stage_of_several_teams_needs_people_in_each_where_all_are_asked(desk, acme, full_review, team):
    empty = Team.objects.create(organization=acme, name="Finance", slug="finance")
    both = {"stages-0-more_teams": [empty.pk], "stages-0-every_team": "on"}

    refused = desk.post(page(full_review), tier_data(full_review, [(1, team, 1)], **both))
    empty.members.add(make_member(acme, "fay"))
    done = desk.post(page(full_review), tier_data(full_review, [(1, team, 1)], **both))

    assert "Refunds and Finance has 1 people who may decide; 2 votes could never be reached." in said(refused)
    assert done.status_code == 302
    stage = full_review.stages.get()
    assert str(stage) == "1 of Refunds and Finance"
    assert Entry.objects.get().after[f"stage {stage.pk}"] == {"more_teams": ["Finance"], "every_team": True}
