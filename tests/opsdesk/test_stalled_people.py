"""Stalled: what waits for one more person, a second admin or a second opinion."""

from datetime import timedelta

from django.urls import reverse

from opsdesk.lib import clock
from tests import factories
from tests.approvals.opinions import make_second_opinion
from tests.opsdesk.test_stalled_page import found
from tests.proposals import make_proposal


def test_what_waits_for_a_second_person_is_listed_for_whoever_may_agree(organization, cast):
    old = make_proposal(cast.ada.memberships.get(), by=cast.tomasz)
    factories.at(old, proposed_at=clock.now() - timedelta(days=2))
    make_proposal(cast.ben.memberships.get(), by=cast.tomasz)

    [thing] = found(cast, "proposals", "tomasz")

    assert (thing.title, thing.detail, thing.owner) == (old.title, "change of a membership", cast.tomasz)
    assert thing.reason.startswith("Tomasz Kowal proposed it: Asked by the head of operations.")
    assert (thing.help.label, thing.help.url) == ("Look at it", f"/admin/accounts/proposal/{old.pk}/change/")
    assert len(found(cast, "proposals", "tomasz", everything=True)) == 2
    assert found(cast, "proposals", "maya") == []


def test_a_second_opinion_that_nobody_gave_is_listed_for_its_owner_and_for_managers(organization, cast):
    look = make_second_opinion(organization, by=cast.ada, asked=cast.ben)
    factories.at(look, asked_at=clock.now() - timedelta(days=4))
    make_second_opinion(organization, by=cast.ben, asked=cast.ada)

    [mine], [managed] = found(cast, "opinions", "ben"), found(cast, "opinions")

    assert (mine.help.label, mine.help.url) == ("Answer it", reverse("approvals:second_opinion", args=[look.pk]))
    assert (managed.owner, managed.help.label) == (cast.ben, "Open the case")
    assert found(cast, "opinions", "ada") == []
