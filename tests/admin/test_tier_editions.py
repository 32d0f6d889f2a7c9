"""What a tier meant before is kept with each change, and can be put in force again."""

import pytest
from django.db import transaction
from django.urls import reverse

from approvals.models import Rung, Stage, TierEdition, TierSettings
from approvals.tier_editions import CannotGoBack, content_of, revert
from auditlog.models import Entry
from tests.admin.test_consent import WHY, full_review, page, team, tier_data
from tests.definitions import make_member

__all__ = ["full_review", "team"]


def go_back(row, number):
    return reverse("admin:approvals_tiersettings_earlier", args=[row.pk]) + f"?to={number}"


def changed(desk, row, team, **changes):
    answer = desk.post(page(row), tier_data(row, [(1, team, 1)], **changes))
    assert answer.status_code == 302
    row.refresh_from_db()


def test_every_change_keeps_an_edition_and_the_first_one_what_there_was(desk, full_review, team, tomasz):
    before = content_of(full_review)
    changed(desk, full_review, team, due_minutes=60)
    changed(desk, full_review, team, due_minutes=30)

    first, second, third = full_review.editions.order_by("number")

    assert first.content == before
    assert [row.content["settings"]["due_minutes"] for row in (first, second, third)] == [240, 60, 30]
    assert (first.made_by, third.made_by, third.reason) == (None, tomasz, WHY["change_reason"])
    seen = desk.get(reverse("admin:approvals_tiersettings_earlier", args=[full_review.pk])).content.decode()
    assert seen.count("Revert to") == 2
    with pytest.raises(Exception, match="Cannot update"), transaction.atomic():
        TierEdition.objects.filter(pk=first.pk).update(number=9)


def test_going_back_puts_settings_stages_and_rungs_in_force_as_a_new_edition(desk, full_review, team):
    Rung.objects.create(tier=full_review, position=0, after_minutes=60, what=Rung.What.REMIND)
    before = content_of(full_review)
    data = tier_data(full_review, [(1, team, 1)], due_minutes=60)
    [rung] = full_review.rungs.all()
    data |= {"rungs-TOTAL_FORMS": 1, "rungs-INITIAL_FORMS": 1, "rungs-0-id": rung.pk, "rungs-0-DELETE": "on"}
    data |= {"rungs-0-position": 0, "rungs-0-after_minutes": 60, "rungs-0-what": "remind"}
    assert desk.post(page(full_review), data).status_code == 302
    shown = desk.get(go_back(full_review, 1)).content.decode()

    assert desk.post(go_back(full_review, 1), WHY).status_code == 302

    assert "due minutes: 240" in shown
    assert content_of(TierSettings.objects.get(pk=full_review.pk)) == before
    assert full_review.editions.order_by("-number").first().number == 3
    entry = Entry.objects.get(verb="approvals.tier.reverted")
    assert (entry.before["due_minutes"], entry.after["due_minutes"], entry.after["reverted_to"]) == (60, 240, 1)


def test_an_edition_nobody_could_pass_or_that_is_in_force_is_refused(desk, acme, full_review, team, tomasz):
    second = make_member(acme, "vera")
    team.members.add(second)
    Stage.objects.filter(tier=full_review).update(votes=2)
    changed(desk, full_review, team)
    team.members.remove(second)
    kept = content_of(full_review)

    for number, words in [(1, "in which 1 may decide now"), (2, "in force already")]:
        edition = full_review.editions.get(number=number)
        with pytest.raises(CannotGoBack, match=words):
            revert(edition.pk, by=tomasz, reason="Try")
    assert content_of(TierSettings.objects.get(pk=full_review.pk)) == kept
    assert "keeps it from being published" in desk.get(go_back(full_review, 1)).content.decode()


def test_another_organization_sees_none_of_it(client, zoe, full_review):
    client.force_login(zoe)

    assert client.get(go_back(full_review, 1)).status_code == 404
    assert client.post(go_back(full_review, 1), WHY).status_code == 404
    earlier = reverse("admin:approvals_tiersettings_earlier", args=[full_review.pk])
    assert client.get(earlier).status_code == 404
