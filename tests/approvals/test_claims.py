"""Who has a case open: claims, their lease, taking over, and taking the next case."""

from datetime import timedelta

import pytest
from django.db.models import F

from accounts.models import Team, User
from accounts.roles import Role
from approvals import claims, pulling, services
from approvals.errors import AlreadyDecided, HeldByAnother, NotAVoter, SelfApproval
from approvals.models import Claim, ReasonCode, Review, TierSettings, Vote
from approvals.services import Rationale
from approvals.states import ReviewState, Verdict
from auditlog.models import Entry
from opsdesk.lib import clock
from tests.approvals.desk import decision, htmx, signed_in, url
from tests.factories import make_case, make_desk, make_member, make_review
from workflows.models import Case, Correction, Run
from workflows.states import Tier

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk():
    return make_desk()


@pytest.fixture
def organization(desk):
    return desk[0]


@pytest.fixture
def cast(desk):
    return desk[1]


@pytest.fixture
def review(organization):
    return make_review(make_case(organization))


def due(organization, minutes, **fields):
    return make_review(make_case(organization), due_at=clock.now() + timedelta(minutes=minutes), **fields)


def vote(review: Review, voter: User, verdict: Verdict = Verdict.APPROVE) -> Review:
    code = ReasonCode.objects.get(code="goods-returned" if verdict == Verdict.APPROVE else "never-bought")
    return services.decide(review.pk, voter=voter, verdict=verdict, rationale=Rationale(code), seen=review.content_hash)


def lapse(review: Review) -> None:
    """Let the lease run out."""
    Claim.objects.filter(review=review).update(until=F("since"))


def member(user: User):
    return user.memberships.get()


def next_of(user: User) -> Review | None:
    taken = pulling.take_next(member(user))
    return taken.review if taken else None


def verbs(review: Review) -> list[str]:
    entries = Entry.objects.filter(subject_kind="review", subject_id=review.pk).order_by("pk")
    return [entry.verb.rpartition(".")[2] for entry in entries]


# --- claiming --------------------------------------------------------------------------------------------------------


def test_only_the_vote_of_whoever_has_it_open_is_taken(review, cast):
    claims.claim(review.pk, by=cast.ben)

    with pytest.raises(HeldByAnother, match=r"Ben Marsh has it open since \d\d:\d\d: take it over first"):
        vote(review, cast.ada)
    vote(review, cast.ben)

    assert not Claim.objects.exists()
    assert verbs(review)[:2] == ["claimed", "voted_approve"]


def test_a_lease_ends_by_itself_and_a_page_that_is_open_keeps_it(review, cast):
    claims.claim(review.pk, by=cast.ben)
    Claim.objects.update(until=F("since") + timedelta(seconds=1))

    assert claims.renew(review.pk, by=cast.ben)
    assert not claims.renew(review.pk, by=cast.ada)
    assert claims.is_held_by(review, cast.ben)
    lapse(review)

    assert claims.standing_on(review) is None
    vote(review, cast.ada)
    assert not claims.renew(review.pk, by=cast.ben)


def test_a_lease_that_ran_out_is_taken_up_again_unless_somebody_took_the_case(review, cast):
    claims.claim(review.pk, by=cast.ben)
    lapse(review)
    assert claims.renew(review.pk, by=cast.ben)
    lapse(review)
    claims.claim(review.pk, by=cast.ada)

    assert not claims.renew(review.pk, by=cast.ben)
    assert claims.is_held_by(review, cast.ada)


def test_taking_over_names_whom_it_is_taken_from_and_is_recorded(review, cast):
    claims.claim(review.pk, by=cast.ben)

    for mistaken in (None, cast.maya.pk):
        with pytest.raises(HeldByAnother):
            claims.claim(review.pk, by=cast.ada, over=mistaken)
    claims.claim(review.pk, by=cast.ada, over=cast.ben.pk)

    entry = Entry.objects.get(verb="approvals.review.taken_over")
    assert (entry.before, entry.after, entry.user) == ({"holder": "Ben Marsh"}, {"holder": "Ada Okafor"}, cast.ada)
    assert entry.reason.startswith("Ada Okafor took it over from Ben Marsh, who had it since ")
    with pytest.raises(HeldByAnother):
        vote(review, cast.ben)


def test_nobody_claims_what_they_may_not_decide(review, cast, organization):
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ada)
    outsider = make_member(organization, "olga", Role.OPERATOR)

    for who, refusal in ((cast.ada, SelfApproval), (outsider, NotAVoter), (cast.tomasz, NotAVoter)):
        with pytest.raises(refusal):
            claims.claim(review.pk, by=who)
    vote(review, cast.ben)
    with pytest.raises(AlreadyDecided):
        claims.claim(review.pk, by=cast.maya)


def test_a_claim_keeps_nobody_from_objecting_and_ends_when_the_case_goes_elsewhere(review, cast, organization):
    leaving = make_review(make_case(organization), tier=Tier.FAST_TRACK)
    for each in (review, leaving):
        claims.claim(each.pk, by=cast.ben)

    services.object_to(leaving.pk, by=cast.maya, text="The customer called.")
    services.reassign(review.pk, to=cast.ada, by=cast.maya)

    assert claims.standing_on(review) is None


@pytest.mark.parametrize("how", ["ended", "inactive", "role"])
def test_the_claim_of_somebody_who_lost_the_right_is_none(review, cast, how):
    claims.claim(review.pk, by=cast.ben)

    match how:
        case "ended":
            cast.ben.memberships.update(ended_at=clock.now())
        case "inactive":
            User.objects.filter(pk=cast.ben.pk).update(is_active=False)
        case "role":
            cast.ben.memberships.update(role=Role.VIEWER)

    assert claims.standing_on(review) is None
    assert next_of(cast.ada) == review
    vote(review, cast.ada)


def test_letting_go_frees_it_at_once(review, cast):
    claims.claim(review.pk, by=cast.ben)

    assert not claims.let_go(review.pk, by=cast.ada)
    assert claims.let_go(review.pk, by=cast.ben)

    assert verbs(review) == ["claimed", "let_go"]
    claims.claim(review.pk, by=cast.ada)


def test_claims_that_nobody_comes_back_to_are_forgotten(review, cast, organization):
    other = make_review(make_case(organization))
    for each in (review, other):
        claims.claim(each.pk, by=cast.ben)
    Claim.objects.filter(review=review).update(
        since=F("since") - timedelta(days=2), until=F("until") - timedelta(days=2)
    )

    assert claims.forget_old() == 1
    assert Claim.objects.get().review == other


# --- take next -------------------------------------------------------------------------------------------------------


def test_next_is_own_before_nobodys_before_others_then_late_then_urgent_then_due(organization, cast):
    others, soon, urgent = due(organization, 5, assignee=cast.ben), due(organization, 10), due(organization, 60)
    late, latest, own = due(organization, -5), due(organization, -1), due(organization, 600, assignee=cast.ada)
    Run.objects.filter(pk__in=[urgent.run_id, latest.run_id]).update(priority=10)

    taken = [next_of(cast.ada) for _ in range(7)]

    assert taken == [own, latest, late, urgent, soon, others, None]


def test_next_is_never_what_one_may_not_decide_or_what_somebody_has_open(organization, cast):
    asked, corrected, bought, voted, held, away, leaving, blocked, free = (
        make_review(make_case(organization), **more)
        for more in ({}, {}, {}, {}, {}, {"stage": 1}, {"tier": Tier.FAST_TRACK}, {}, {})
    )
    Case.objects.filter(pk=asked.case_id).update(requested_by_user=cast.ada)
    Case.objects.filter(pk=bought.case_id).update(party=cast.ada.username.upper())
    Correction.objects.create(case=corrected.case, user=cast.ada, before={}, after={}, reason="Wrong payment.")
    full = TierSettings.objects.get(organization=organization, tier=Tier.FULL_REVIEW)
    full.stages.update(votes=2)
    full.stages.create(position=7, team=Team.objects.create(organization=organization, slug="finance"))
    vote(voted, cast.ada)
    claims.claim(held.pk, by=cast.ben)
    claims.claim(blocked.pk, by=cast.maya)

    assert next_of(cast.ada) == free
    assert next_of(cast.ada) is None
    lapse(held)
    assert next_of(cast.ada) == held
    Team.objects.get(slug="finance").members.add(cast.ada)
    assert next_of(cast.ada) == away
    assert Claim.objects.filter(review=leaving).count() == 0


def test_next_stays_within_ones_own_organization(review, cast):
    _, theirs = make_desk("retail-de", suffix="-de")

    assert next_of(theirs.ada) is None
    assert next_of(cast.ada) == review


# --- the pages -------------------------------------------------------------------------------------------------------


def page_of(response) -> str:
    return response.content.decode()


def test_the_desk_says_who_has_a_case_open_and_offers_to_take_it_over(review, cast):
    claims.claim(review.pk, by=cast.ben)
    ada = signed_in(cast.ada)

    page = page_of(ada.get("/queue/", {"case": review.case_id}))

    assert "Ben Marsh has it open since" in page
    assert f'name="over" value="{cast.ben.pk}"' in page
    assert 'value="approve"' not in page
    assert f'id="queue-held-{review.pk}"' in page
    taken = ada.post(url("claim", review, "?from=queue"), {"over": cast.ben.pk}, **htmx())
    assert "you have it open" in page_of(taken)
    assert 'value="approve"' in page_of(taken)
    late = signed_in(cast.ben).post(url("decide", review), decision(review), **htmx())
    assert late.status_code == 409
    assert "Ada Okafor has it open since" in page_of(late)
    assert not Vote.objects.exists()


def test_a_claim_that_lost_says_in_place_who_was_first(review, cast):
    vote(review, cast.ben, Verdict.REJECT)

    answer = signed_in(cast.ada).post(url("claim", review), **htmx())

    assert answer.status_code == 409
    assert "Rejected by Ben Marsh, " in page_of(answer)


def test_the_page_keeps_its_claim_and_hears_when_it_is_lost(review, cast):
    ada = signed_in(cast.ada)
    ada.post(url("claim", review))

    assert ada.post(url("hold", review), **htmx("held")).status_code == 204
    claims.claim(review.pk, by=cast.ben, over=cast.ada.pk)
    answer = ada.post(url("hold", review), **htmx("held"))

    assert "Ben Marsh has it open" in page_of(answer)
    assert "Ben Marsh has it open since" in answer.headers["HX-Trigger"]


def test_take_next_opens_a_case_and_says_when_there_is_none(review, cast):
    ada, ben = signed_in(cast.ada), signed_in(cast.ben)

    first, second = (each.post("/queue/next/", {"listing": "?from=queue"}, **htmx("desk")) for each in (ada, ben))

    assert f'data-case="{review.case_id}" hx-target="#opened"' in page_of(first)
    assert first.headers["HX-Replace-Url"] == f"/queue/?case={review.case_id}"
    assert "Nothing waits that you may decide" in page_of(second)
    assert ben.post("/queue/next/").headers["Location"] == "/queue/"
    assert ada.post(url("let_go", review)).status_code == 302
    assert ben.post("/queue/next/").headers["Location"] == f"/queue/?case={review.case_id}"


def test_after_a_decision_by_claim_the_next_is_claimed_and_what_others_have_open_is_stepped_over(organization, cast):
    first, held, asked, free = (due(organization, minutes) for minutes in (1, 2, 3, 4))
    claims.claim(held.pk, by=cast.ben)
    Case.objects.filter(pk=asked.case_id).update(requested_by_user=cast.ada)
    claims.claim(first.pk, by=cast.ada)

    sent = decision(first) | {"shown": f"{first.pk}.{held.pk}.{asked.pk}.{free.pk}"}
    page = page_of(signed_in(cast.ada).post(url("decide", first, "?from=queue"), sent, **htmx()))

    assert f'data-case="{free.case_id}" hx-target="#opened"' in page
    assert claims.is_held_by(free, cast.ada)


def test_without_a_claim_the_next_case_opens_unclaimed(organization, cast):
    first, held, free = (due(organization, minutes) for minutes in (1, 2, 3))
    claims.claim(held.pk, by=cast.ben)

    page = page_of(signed_in(cast.ada).post(url("decide", first, "?from=queue"), decision(first), **htmx()))

    assert f'data-case="{free.case_id}" hx-target="#opened"' in page
    assert Claim.objects.count() == 1


def test_the_list_learns_who_opened_what_and_who_let_go(review, cast):
    ada, shown = signed_in(cast.ada), {"shown": str(review.pk)}
    claims.claim(review.pk, by=cast.ben)

    news = page_of(ada.get("/queue/news/", shown, **htmx("queue-news")))
    assert 'title="Ben Marsh has it open"' in news
    lapse(review)
    news = page_of(ada.get("/queue/news/", shown, **htmx("queue-news")))
    assert f'id="queue-held-{review.pk}" hx-swap-oob="true"></span>' in news


def test_viewers_are_offered_nothing_to_take(review, organization):
    vera = signed_in(make_member(organization, "vera", Role.VIEWER))

    page = page_of(vera.get("/queue/", {"case": review.case_id}))

    assert "Take next" not in page
    assert "Take it" not in page
    assert Review.objects.get().state == ReviewState.OPEN
