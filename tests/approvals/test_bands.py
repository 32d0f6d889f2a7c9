"""Bands for some requests only: the most specific that fits decides, and of two as specific the stricter."""

from itertools import permutations
from random import Random

import pytest
from django.db import IntegrityError
from django.urls import reverse

from accounts.models import Organization, Person
from accounts.roles import Role
from approvals.bands import BandTable
from approvals.models import Policy, Threshold
from approvals.policies import check_policy, draft_policy, new_draft_policy, publish_bands, publish_policy
from auditlog.models import Entry
from opsdesk.lib.money import Money
from tests.definitions import make_member, make_organization, make_tiers, make_workflow
from workflows.errors import NeedsSecondPerson
from workflows.models import Case
from workflows.states import Tier

INSTANT, FAST, FULL = Tier.INSTANT, Tier.FAST_TRACK, Tier.FULL_REVIEW
GBP = [("0.00", INSTANT), ("25.00", FAST), ("150.00", FULL)]


def band(above: str, tier: Tier, currency: str = "GBP", **scope: str) -> Threshold:
    return Threshold(currency=currency, above_minor=Money.parse(above, currency).minor, tier=tier, **scope)


ROWS = [
    band("0", INSTANT),
    band("50", FULL),
    band("0", INSTANT, reason="damaged"),
    band("80", FULL, reason="damaged"),
    band("0", FAST, channel="phone"),
    band("0", FULL, reason="damaged", segment="new"),
]


def case(reason: str = "", minor: int = 6000, currency: str = "GBP", **data: object) -> Case:
    return Case(amount_minor=minor, currency=currency, reason=reason, data=data)


@pytest.mark.parametrize(
    ("asked", "tier", "words"),
    [
        (case("lost", segment="old", channel="shop"), FULL, "£60.00 is above £50.00"),
        (
            case("damaged", segment="old", channel="shop"),
            INSTANT,
            "£60.00 is within the limit of £80.00 for instant where the reason is damaged",
        ),
        # As specific as each other: the stricter.
        (case("damaged", segment="old", channel="phone"), FAST, "£60.00 is above £0.00 where the channel is phone"),
        (
            case("damaged", segment="new", channel="phone"),
            FULL,
            "£60.00 is above £0.00 where the reason is damaged and the customer segment is new",
        ),
        # What is not known is not “no”.
        (
            case("lost", 100, segment="old"),
            FAST,
            "£1.00 is above £0.00 where the channel is phone, and the channel is not known",
        ),
        (
            case("damaged", 100, channel="shop"),
            FULL,
            "£1.00 is above £0.00 where the reason is damaged and the customer segment is new, "
            "and the customer segment is not known",
        ),
        (case("damaged", 100, "EUR"), FULL, "There are no thresholds for EUR, so a person decides"),
        # Only text says a channel; anything else is not known.
        (
            case("lost", 100, segment="old", channel=["phone"]),
            FAST,
            "£1.00 is above £0.00 where the channel is phone, and the channel is not known",
        ),
    ],
)
def test_the_most_specific_band_decides_and_says_so(asked: Case, tier: Tier, words: str):
    for rows in list(permutations(ROWS, len(ROWS)))[::97]:
        demand = BandTable(rows).demand(asked)
        assert (demand.tier, demand.words) == (tier, words)


def slowly(rows: list[Threshold], said: tuple[str, str], minor: int) -> Tier:
    """The tier as the rule reads, row by row."""

    def pairs(row: Threshold) -> list[tuple[str, str]]:
        return list(zip((row.reason, row.segment), said, strict=True))

    speaking = [row for row in rows if all(not asked or asked == given for asked, given in pairs(row))]
    possible = [row for row in rows if all(not asked or not given or asked == given for asked, given in pairs(row))]
    most = max((bool(row.reason) + bool(row.segment) for row in speaking), default=9)
    heard = [row for row in speaking if bool(row.reason) + bool(row.segment) == most]
    heard += [row for row in possible if bool(row.reason) + bool(row.segment) > most]
    tiers = []
    for scope in {(row.reason, row.segment) for row in heard}:
        group = [row for row in heard if (row.reason, row.segment) == scope and row.above_minor < minor]
        if group:
            tiers.append(Tier(max(group, key=lambda row: row.above_minor).tier))
    return max(tiers, key=lambda tier: tier.rank, default=FULL)


def test_the_answer_is_that_of_a_slow_reading():
    dice = Random(7)
    scopes = [(reason, segment) for reason in ("", "a", "b") for segment in ("", "a", "b")]
    for _ in range(400):
        rows = [
            Threshold(currency="GBP", reason=reason, segment=segment, above_minor=above, tier=dice.choice(list(Tier)))
            for reason, segment in dice.sample(scopes, dice.randint(0, 5))
            for above in dice.sample([0, 10, 20], dice.randint(1, 3))
        ]
        dice.shuffle(rows)
        said, minor = dice.choice(scopes), dice.randint(1, 30)

        demand = BandTable(rows).demand(case(said[0], minor, segment=said[1], channel="x"))

        assert demand.tier == slowly(rows, said, minor)


# --- kept by the database, drafted by one, published by another ------------------------------------------------------


@pytest.fixture
def refund(db: None):
    organization = make_organization()
    make_tiers(organization)
    return make_workflow(organization)


@pytest.fixture
def draft(refund) -> Policy:
    return draft_policy(refund, {"GBP": GBP}, by=None, reason="First")


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"reason": "damaged", "above_minor": 500}, "approvals_threshold_once"),
        ({"reason": " damaged"}, "approvals_threshold_scope_trimmed"),
        ({"channel": "phone "}, "approvals_threshold_scope_trimmed"),
    ],
)
def test_the_database_keeps_bands_apart(draft: Policy, fields, constraint: str):
    Threshold.objects.create(policy=draft, currency="GBP", reason="damaged", above_minor=500, tier=FAST)

    with pytest.raises(IntegrityError, match=constraint):
        Threshold.objects.create(**{"policy": draft, "currency": "GBP", "above_minor": 700, "tier": FAST, **fields})


def test_bands_for_some_requests_are_checked_as_all_are(draft: Policy):
    Threshold.objects.create(policy=draft, currency="GBP", reason="damaged", above_minor=500, tier=FAST)
    Threshold.objects.create(policy=draft, currency="EUR", channel="phone", above_minor=0, tier=FULL)

    assert check_policy(draft) == [
        "EUR: bands for some requests only leave the others without any.",
        "GBP where the reason is damaged: the lowest band must start at 0; amounts up to £5.00 have none.",
    ]


def test_who_changed_thresholds_last_does_not_publish_them(refund):
    organization = Organization.objects.get()
    ines, maya = make_member(organization, "ines", Role.ADMIN), make_member(organization, "maya", Role.ADMIN)
    again = make_member(organization, "ines2", Role.ADMIN)
    type(again).objects.filter(pk=again.pk).update(person=Person.objects.get(accounts=ines))
    again.refresh_from_db()
    first = publish_bands(refund, {"GBP": GBP}, by=None, reason="First day")
    draft = new_draft_policy(first, by=ines, reason="Careful")

    for herself in (ines, again):
        with pytest.raises(NeedsSecondPerson, match="changed these thresholds last"):
            publish_policy(draft, by=herself, reason="Mine")
    publish_policy(draft, by=maya, reason="Read and agreed")

    draft.refresh_from_db()
    assert (draft.state, draft.published_by) == ("published", maya)
    Organization.objects.update(rules_need_second_person=False)
    alone = new_draft_policy(draft, by=maya, reason="Small desk")
    assert publish_policy(alone, by=maya, reason="Alone").state == "published"


def test_the_admin_knows_who_changed_a_draft_and_the_way_back_is_a_draft(refund, client):
    organization = Organization.objects.get()
    ines = make_member(organization, "ines", Role.ADMIN, is_staff=True)
    first = publish_bands(refund, {"GBP": GBP}, by=None, reason="First day")
    second = publish_bands(refund, {"GBP": GBP[:2]}, by=None, reason="Milder")
    client.force_login(ines)

    back = client.post(reverse("admin:approvals_policy_revert", args=[first.pk]), {"change_reason": "Back"})
    draft = Policy.objects.get(state="draft")
    page = reverse("admin:approvals_policy_publish", args=[draft.pk])
    refused = client.post(page, {"change_reason": "Go", "seen": client.get(page).context["seen"]})

    assert back.status_code == 302
    assert draft.edited_by == ines
    assert [str(row) for row in draft.thresholds.all()] == [str(row) for row in first.thresholds.all()]
    assert "changed these thresholds last" in refused.content.decode()
    assert Policy.objects.get(state="published") == second
    assert Entry.objects.filter(verb="approvals.policy.drafted", user=ines).exists()
