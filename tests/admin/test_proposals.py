"""Whoever wants a right does not give it to themselves: two people are asked, and nobody is shut out by it."""

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts import proposals
from accounts.errors import NotAllowed
from accounts.models import Membership, Organization, Proposal, Team, User
from accounts.roles import Permission, Role
from approvals import tier_editions
from approvals.models import Ceiling, RunningLimit, Stage, TierSettings
from auditlog.models import Entry, LegalHold, RetentionPolicy
from opsdesk.lib import clock
from tests.admin.conftest import signed_in
from tests.admin.test_people import organization_data
from tests.definitions import make_member
from tests.proposals import make_proposal
from workflows.states import Tier

WHY = {"change_reason": "Asked by the head of operations"}
RUNNING = {"ended_at_0": "", "ended_at_1": ""}


@pytest.fixture
def lena(acme):
    return make_member(acme, "lena", Role.ADMIN, is_staff=True)


@pytest.fixture
def asked(acme, tomasz, lena):
    """Acme asks two people about rights; Tomasz and Lena are its admins."""
    Organization.objects.filter(pk=acme.pk).update(rights_need_second_person=True)
    return acme


@pytest.fixture
def second(asked, lena):
    """Lena's browser."""
    return signed_in(lena)


def address(row, name="change"):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}", args=[row.pk])


def add(model):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")


def put_in_force(browser, proposal):
    return browser.post(address(proposal, "publish"), follow=True).content.decode()


def test_a_role_changes_when_another_admin_agrees(desk, second, otto, tomasz, lena):
    membership = otto.memberships.get()

    desk.post(address(membership), {"role": "manager", **RUNNING, **WHY})

    proposal = Proposal.objects.get()
    assert (proposal.before, proposal.after) == ({"role": "operator"}, {"role": "manager"})
    assert Membership.objects.get(pk=membership.pk).role == "operator"
    assert "Asked by the head of operations" in second.get(address(proposal)).content.decode()

    assert "tomasz proposed this, so another person puts it in force." in put_in_force(desk, proposal)
    assert Membership.objects.get(pk=membership.pk).role == "operator"

    assert "It is in force." in put_in_force(second, proposal)
    assert Membership.objects.get(pk=membership.pk).role == "manager"
    entries = list(Entry.objects.order_by("pk").values_list("verb", "user"))
    assert entries == [
        ("accounts.proposal.made", tomasz.pk),
        ("accounts.membership.changed", lena.pk),
        ("accounts.proposal.in_force", lena.pk),
    ]
    reason = Entry.objects.get(verb="accounts.membership.changed").reason
    assert reason == "Asked by the head of operations (proposed by tomasz)"
    assert Proposal.objects.get().form == {}
    assert "It is no longer open: put in force." in put_in_force(second, proposal)


def test_where_nobody_asks_for_it_one_person_changes(desk, acme, otto):
    desk.post(address(otto.memberships.get()), {"role": "manager", **RUNNING, **WHY})

    assert otto.memberships.get().role == "manager"
    assert not Proposal.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_proposal_is_made_and_put_in_force_in_transactions_of_their_own(desk, second, otto):
    """What a page takes back is over when the proposal is kept."""
    assert desk.post(address(otto.memberships.get()), {"role": "manager", **RUNNING, **WHY}).status_code == 302

    assert "It is in force." in put_in_force(second, Proposal.objects.get())
    assert otto.memberships.get().role == "manager"


def proposed_by(browser, url, data):
    """The proposal that a form becomes; nothing of it is in force."""
    before = Proposal.objects.count()
    answer = browser.post(url, {**data, **WHY})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert Proposal.objects.count() == before + 1
    return Proposal.objects.first()


def test_teams_tiers_limits_and_ceilings_are_asked_about_too(desk, second, asked, otto):
    team = Team.objects.create(organization=asked, name="Refunds", slug="refunds")
    team.members.add(make_member(asked, "vera"))
    tier = TierSettings.objects.create(organization=asked, tier=Tier.FULL_REVIEW, text_needed=True)
    stage = Stage.objects.create(tier=tier, team=team, position=1)
    limit = RunningLimit.objects.create(organization=asked, scope="customer", currency="GBP", amount_minor=100_00)
    ceiling = Ceiling.objects.create(organization=asked, user=otto, currency="GBP", amount_minor=100_00)
    team_data = {"name": "Refunds", "members": [otto.pk, *team.members.values_list("pk", flat=True)]}
    tier_data = {
        "due_minutes": 240, "objection_minutes": 30, "undo_seconds": 10, "text_minimum": 10, "bulk_most": 50,
        "second_opinion_percent": 0, "stages-TOTAL_FORMS": 1, "stages-INITIAL_FORMS": 1, "stages-0-id": stage.pk,
        "stages-0-position": 1, "stages-0-team": team.pk, "stages-0-votes": 1, "rungs-TOTAL_FORMS": 0,
        "rungs-INITIAL_FORMS": 0,
    }  # fmt: skip

    made = [
        proposed_by(desk, address(team), {**team_data, "distribution": "push"}),
        proposed_by(desk, address(tier), tier_data),
        proposed_by(desk, address(limit), {"amount": "900.00"}),
        proposed_by(desk, address(ceiling), {"amount": "900.00"}),
        proposed_by(desk, add(Ceiling), {"user": otto.pk, "currency": "EUR", "amount": "5.00"}),
    ]

    assert otto not in team.members.all()
    assert TierSettings.objects.get().text_needed
    assert RunningLimit.objects.get().amount_minor == 100_00
    assert [row.amount_minor for row in Ceiling.objects.all()] == [100_00]
    for proposal in made:
        assert second.get(address(proposal)).status_code == 200
        assert "It is in force." in put_in_force(second, proposal)
    assert otto in team.members.all()
    assert not TierSettings.objects.get().text_needed
    assert RunningLimit.objects.get().amount_minor == 900_00
    assert sorted(Ceiling.objects.filter(ended_at=None).values_list("amount_minor", flat=True)) == [5_00, 900_00]


def test_four_eyes_are_not_switched_off_by_two(desk, second, asked):
    """Nor those over rules, with which whoever lowered the thresholds could publish them alone."""
    kept = organization_data(asked, rights_need_second_person="on")

    fewer_people = [{"rights_need_second_person": ""}, {"rules_need_second_person": ""}, {"recovery_signatures": "2"}]
    for less in (*fewer_people, {"confirm_minutes": "60"}, {"confirm_above_minor": "90000"}):
        proposed_by(desk, address(asked), {**kept, **less})
    desk.post(address(asked), {**kept, "acting_enabled": ""})

    stored = Organization.objects.get(pk=asked.pk)
    assert stored.rights_need_second_person
    assert stored.rules_need_second_person
    assert (stored.confirm_minutes, stored.confirm_above_minor) == (asked.confirm_minutes, asked.confirm_above_minor)
    assert not stored.acting_enabled  # the kill switch waits for nobody
    assert "was changed since this was proposed" in put_in_force(second, Proposal.objects.last())


def test_a_new_account_may_do_nothing_until_another_admin_agrees(desk, second, asked):
    secret = "quite a long secret phrase"
    data = {"username": "puppet", "first_name": "Sock", "last_name": "Puppet", "role": "manager"}

    desk.post(add(User), {**data, "password1": secret, "password2": secret, **WHY})

    account = User.objects.get(username="puppet")
    assert not Membership.objects.active().filter(user=account).exists()
    assert secret not in str(Proposal.objects.values_list("form", flat=True))
    assert "It is in force." in put_in_force(second, Proposal.objects.get())
    assert Membership.objects.active().get(user=account).role == "manager"


def test_less_is_kept_and_holds_are_lifted_by_two(desk, second, asked):
    """Keeping longer, and holding, takes effect at once; what lets things be removed for good waits."""
    days = {"days": 500, "enabled": "on"}
    kept = RetentionPolicy.objects.create(organization=asked, kind="entries", days=500, enabled=True)
    off = RetentionPolicy.objects.create(organization=asked, kind="calls", days=90, enabled=False)
    desk.post(add(LegalHold), {"party": "C-7", **WHY})
    hold = LegalHold.objects.get()
    for row, harmless in ((kept, {**days, "days": 600}), (off, {"days": 120})):
        assert desk.post(address(row), {**harmless, **WHY}).status_code == 302
    assert not Proposal.objects.exists()

    made = [
        proposed_by(desk, address(hold), {"lifted": "on"}),
        proposed_by(desk, address(kept), {**days, "days": 400}),
        proposed_by(desk, address(off), {"days": 120, "enabled": "on"}),
        proposed_by(desk, add(RetentionPolicy), {"kind": "notices", "days": 90, "enabled": "on"}),
    ]

    assert not LegalHold.objects.get().lifted
    assert "C-7" not in str(Proposal.objects.values("title", "before", "after"))
    assert list(RetentionPolicy.objects.order_by("pk").values_list("days", "enabled")) == [(600, True), (120, False)]
    assert desk.post(address(kept), {"days": 600, **WHY}).status_code == 302  # removing nothing waits for nobody
    assert "proposed this, so another person puts it in force." in put_in_force(desk, made[0])
    for proposal in (made[0], made[2], made[3]):
        assert "It is in force." in put_in_force(second, proposal)
    assert LegalHold.objects.get().lifted
    assert RetentionPolicy.objects.get(kind="calls").enabled and RetentionPolicy.objects.filter(kind="notices").exists()
    assert "was changed since this was proposed" in put_in_force(second, made[1])


@pytest.mark.parametrize("change", ["person", "is_active"])
def test_one_person_does_not_become_two_and_nobody_comes_back_alone(desk, asked, otto, tomasz, change):
    User.objects.filter(pk=otto.pk).update(is_active=change == "person")
    other = make_member(asked, "other").person
    data = {"username": "otto", "person": other.pk if change == "person" else otto.person_id, "is_active": "on"}

    proposed_by(desk, address(otto), data)

    stored = User.objects.get(pk=otto.pk)
    assert (stored.person, stored.is_active) == (otto.person, change == "person")


def test_rights_are_taken_away_at_once(desk, asked, otto):
    now = clock.now()
    desk.post(
        address(otto.memberships.get()),
        {"role": "operator", "ended_at_0": f"{now:%Y-%m-%d}", "ended_at_1": f"{now:%H:%M:%S}", **WHY},
    )
    desk.post(address(otto), {"username": "otto", "person": otto.person_id, **WHY})

    assert otto.memberships.get().ended_at is not None
    assert not User.objects.get(pk=otto.pk).is_active
    assert not Proposal.objects.exists()


def test_another_admins_password_is_not_set_by_the_first(desk, asked, lena, otto):
    secret = "quite a long secret phrase"
    data = {"usable_password": "true", "password1": secret, "password2": secret, "set-password": "x", **WHY}

    for account in (lena, otto):
        desk.post(reverse("admin:auth_user_password_change", args=[account.pk]), data)

    assert not User.objects.get(pk=lena.pk).check_password(secret)
    assert User.objects.get(pk=otto.pk).check_password(secret)


def test_an_earlier_edition_of_a_tier_is_no_way_around(asked, tomasz):
    tier = TierSettings.objects.create(organization=asked, tier=Tier.INSTANT, text_needed=False)
    milder = tier_editions.keep(tier, by=tomasz, reason="First day")
    TierSettings.objects.filter(pk=tier.pk).update(text_needed=True)

    with pytest.raises(tier_editions.CannotGoBack, match="another admin puts it in force"):
        tier_editions.revert(milder.pk, by=tomasz, reason="As it was")

    assert TierSettings.objects.get().text_needed


# --- nobody is shut out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["role", "end", "account", "door"])
@pytest.mark.parametrize("asks", [True, False])
def test_the_last_who_could_agree_keep_their_way_in(desk, acme, lena, asks, how):
    """Of two admins none is taken away where two are asked; where one is enough, the last one is not."""
    tomasz = User.objects.get(username="tomasz")
    Organization.objects.filter(pk=acme.pk).update(rights_need_second_person=asks)
    member, now = lena.memberships.get(), clock.now()
    ended = {"ended_at_0": f"{now:%Y-%m-%d}", "ended_at_1": f"{now:%H:%M:%S}"}
    account = {"username": "lena", "person": lena.person_id, "is_active": "on", "is_staff": "on"}
    row, data = {
        "role": (member, {"role": "viewer", **RUNNING}),
        "end": (member, {"role": "admin", **ended}),
        "account": (lena, {**account, "is_active": ""}),
        "door": (lena, {**account, "is_staff": ""}),
    }[how]

    answer = desk.post(address(row), {**data, **WHY}, follow=True)

    there = proposals.people_who_may(acme.pk, Permission.CONFIGURE) == {tomasz.person_key, lena.person_key}
    assert there == asks
    assert ("Changes here need two admins, and 1 would be left" in answer.content.decode()) == asks
    if not asks:
        with pytest.raises(NotAllowed, match="Nobody would be left"), transaction.atomic():
            tomasz.memberships.update(role=Role.VIEWER)
            proposals.refuse_lockout(acme.pk)


def test_two_are_asked_for_only_where_there_are_two(desk, acme):
    answer = desk.post(address(acme), organization_data(acme, rights_need_second_person="on"), follow=True)

    assert "need two admins, and 1 would be left" in answer.content.decode()
    assert not Organization.objects.get(pk=acme.pk).rights_need_second_person


# --- what was looked at is what happens ------------------------------------------------------------------------------


def test_a_row_that_changed_meanwhile_is_not_changed_by_an_old_proposal(second, asked, tomasz, otto):
    proposal = make_proposal(otto.memberships.get(), by=tomasz)
    otto.memberships.update(role=Role.VIEWER)

    assert "was changed since this was proposed" in put_in_force(second, proposal)

    assert otto.memberships.get().role == "viewer"
    assert Proposal.objects.get().state == "open"


def test_what_is_gone_meanwhile_is_not_said_to_be_in_force(desk, second, asked, otto):
    ceiling = Ceiling.objects.create(organization=asked, user=otto, currency="GBP", amount_minor=100_00)
    proposal = proposed_by(desk, address(ceiling), {"amount": "900.00"})
    Ceiling.objects.filter(pk=ceiling.pk).update(ended_at=clock.now())

    assert "What would change is no longer there" in put_in_force(second, proposal)
    assert Proposal.objects.get().state == "open"


def test_nobody_puts_in_force_what_is_about_their_own_rights(second, asked, tomasz, lena):
    proposal = make_proposal(lena.memberships.get(), by=tomasz)

    assert "it is about your own rights" in put_in_force(second, proposal)
    assert lena.memberships.get().role == "admin"


def test_a_proposal_is_thrown_away_by_either(desk, second, asked, tomasz, otto):
    proposal = make_proposal(otto.memberships.get(), by=tomasz)

    desk.post(address(proposal, "discard"))

    assert Proposal.objects.get().state == "discarded"
    assert "It is no longer open: thrown away." in put_in_force(second, proposal)


def test_proposals_of_others_are_not_there(asked, tomasz, otto, zoe):
    proposal = make_proposal(otto.memberships.get(), by=tomasz)

    for name in ("publish", "discard"):
        assert signed_in(zoe).post(address(proposal, name)).status_code == 404
    assert Proposal.objects.get().state == "open"


def test_the_database_keeps_them_sound(asked, tomasz, lena, otto):
    proposal = make_proposal(otto.memberships.get(), by=tomasz)
    ended = {"ended_at": clock.now(), "state": "in_force"}

    with pytest.raises(IntegrityError, match="put_in_force_by_another"), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(ended_by=tomasz, **ended)
    with pytest.raises(IntegrityError, match="ended_by_somebody"), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(state="discarded")
    with pytest.raises(IntegrityError, match="known_permission"), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(permission="see_desk")
