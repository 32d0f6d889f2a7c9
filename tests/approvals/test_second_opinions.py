"""Second opinions: who is asked, blind, what an answer does, and that it changes nothing that was decided."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from approvals import second_opinions, timers
from approvals.errors import AlreadyDecided, NotAVoter, RationaleMissing
from approvals.models import ReasonCode, Review, SecondOpinion, TierSettings
from approvals.services import Rationale, decide
from approvals.states import SecondOpinionState, Verdict
from auditlog.models import Entry
from integrations.models import Notice
from opsdesk.lib import clock
from tests import factories
from tests.approvals.opinions import make_second_opinion
from tests.plugins.pages import cost, text_of

LOOKS = "/second-opinions/"
MOST = 12


@pytest.fixture
def every_case(organization):
    TierSettings.objects.filter(organization=organization).update(second_opinion_percent=100, undo_seconds=0)
    return organization


def code(organization, verdict):
    return ReasonCode.objects.filter(organization=organization, verdict=verdict).first()


def say(look, by, verdict, text=""):
    rationale = Rationale(code(look.organization, verdict), text)
    return second_opinions.answer(look.pk, by=by, verdict=verdict, rationale=rationale)


def decide_and_settle(organization, by, verdict=Verdict.APPROVE):
    review = factories.make_review(factories.make_case(organization), assignee=by)
    rationale = Rationale(code(organization, verdict))
    decide(review.pk, voter=by, verdict=verdict, rationale=rationale, seen=review.content_hash)
    Review.objects.filter(pk=review.pk).update(settles_at=clock.now() - timedelta(seconds=1))
    assert timers.settle(review.pk) == 1
    return review


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_decision_that_took_effect_is_put_before_somebody_else(every_case, cast, verdict):
    review = decide_and_settle(every_case, cast.ada, verdict)

    look = SecondOpinion.objects.get(review=review)

    assert look.asked in {cast.ben, cast.maya}
    assert look.state == SecondOpinionState.OPEN


def test_no_share_no_second_opinion(organization, cast):
    TierSettings.objects.filter(organization=organization).update(undo_seconds=0)

    decide_and_settle(organization, cast.ada)

    assert not SecondOpinion.objects.exists()


def test_about_the_share_is_drawn_and_always_the_same(organization):
    settings = TierSettings(second_opinion_percent=5)
    reviews = [Review(pk=number, settings=settings) for number in range(1, 4_001)]

    drawn = [review.pk for review in reviews if second_opinions.drawn(review)]

    # 200 of 4,000 are expected, with a spread of 14.
    assert 130 < len(drawn) < 270
    assert drawn == [review.pk for review in reviews if second_opinions.drawn(review)]


def test_nobody_left_to_ask_is_no_second_opinion(every_case, cast):
    review = factories.make_review(factories.make_case(every_case, requested_by_user=cast.ben), assignee=cast.ada)
    cast.maya.teams.clear()
    decided = factories.at(review)
    decided.state, decided.decided_by = "approved", cast.ada
    decided.settings.second_opinion_percent = 100

    assert second_opinions.sample(decided) is None


def test_the_page_tells_nothing_of_the_verdict(organization, cast, sign_in):
    look = make_second_opinion(organization, by=cast.ada, asked=cast.ben, approved=False, party_name="The Tin Robin")
    factories.make_vote(look.review, cast.ada, Verdict.REJECT, text="Smells of fraud.")

    client = sign_in(cast.ben)
    page = text_of(client.get(f"{LOOKS}{look.pk}/")).split("How would you decide?")[1]

    assert "The Tin Robin" in text_of(client.get(LOOKS))
    assert "£141.48" in page
    for word in ("Smells of fraud", "Ada Okafor", "Rejected", f"CASE-{look.review.case_id}"):
        assert word not in page


def test_the_case_leads_to_the_opinion_until_it_is_given(organization, cast, sign_in):
    look = make_second_opinion(organization, by=cast.ada, asked=cast.ben, approved=False, party_name="The Tin Robin")
    case, run = look.review.case_id, look.review.run_id
    type(look.review.case).objects.filter(pk=case).update(
        state="rejected", closed_at=clock.now(), standing="Ada Okafor rejected it."
    )
    client = sign_in(cast.ben)
    page, queue = f"/cases/{case}/", f"/queue/?case={case}"

    for address in (page, queue):
        assert client.get(address).headers["Location"] == f"{LOOKS}{look.pk}/"
    assert client.get(page, headers={"HX-Request": "true"}).headers["HX-Redirect"] == f"{LOOKS}{look.pk}/"
    assert client.get(f"/runs/{run}/").status_code == 404
    assert client.post(f"/cases/{case}/comment/", {"text": ""}).status_code == 404
    assert sign_in(cast.ada).get(page).status_code == 200
    say(look, cast.ben, Verdict.REJECT)

    assert "Ada Okafor" in text_of(sign_in(cast.ben).get(page))
    assert client.get(f"/runs/{run}/").status_code == 200


def test_the_same_verdict_agrees_and_another_one_is_told_to_the_managers(organization, cast):
    same = make_second_opinion(organization, by=cast.ada, asked=cast.ben)
    other = make_second_opinion(organization, by=cast.ada, asked=cast.ben)
    before = {review.pk: (review.state, review.closed_at, review.decided_by_id) for review in Review.objects.all()}

    say(same, cast.ben, Verdict.APPROVE)
    say(other, cast.ben, Verdict.REJECT, "No proof.")

    same.refresh_from_db()
    other.refresh_from_db()
    assert (same.state, other.state) == (SecondOpinionState.AGREED, SecondOpinionState.DISAGREED)
    notices = Notice.objects.filter(channel="app")
    assert [(notice.recipient, notice.topic) for notice in notices] == [(cast.maya, f"second-opinion:{other.pk}")]
    assert "would have been decided differently" in notices[0].subject
    after = {review.pk: (review.state, review.closed_at, review.decided_by_id) for review in Review.objects.all()}
    assert after == before
    entries = Entry.objects.filter(verb="approvals.second_opinion.given")
    assert [entry.after["agrees"] for entry in entries.order_by("pk")] == [True, False]
    assert second_opinions.agreement(cast.maya.memberships.get()) == second_opinions.Agreement(2, 1)
    assert [look.pk for look in second_opinions.disagreements(cast.maya.memberships.get())] == [other.pk]


def test_only_who_was_asked_answers_and_only_once(organization, cast):
    look = make_second_opinion(organization, by=cast.ada, asked=cast.ben)

    with pytest.raises(NotAVoter):
        say(look, cast.maya, Verdict.APPROVE)
    with pytest.raises(RationaleMissing):
        second_opinions.answer(
            look.pk, by=cast.ben, verdict=Verdict.APPROVE, rationale=Rationale(code(organization, Verdict.REJECT))
        )
    say(look, cast.ben, Verdict.APPROVE)
    with pytest.raises(AlreadyDecided):
        say(look, cast.ben, Verdict.REJECT)

    assert Entry.objects.filter(verb="approvals.second_opinion.given").count() == 1


def test_the_form_answers_by_one_reason_and_says_what_it_lacks(organization, cast, sign_in):
    look = make_second_opinion(organization, by=cast.ada, asked=cast.ben)
    client, address = sign_in(cast.ben), f"{LOOKS}{look.pk}/answer/"

    empty = client.post(address, {})
    answered = client.post(address, {"code": code(organization, Verdict.REJECT).pk, "text": "No proof."}, follow=True)
    again = client.post(address, {"code": code(organization, Verdict.REJECT).pk})

    assert (empty.status_code, "Choose a reason." in text_of(empty)) == (422, True)
    assert "Decided differently before" in text_of(answered)
    assert again.status_code == 409
    assert sign_in(cast.maya).get(f"{LOOKS}{look.pk}/").status_code == 404
    assert "0 of 1 agree, 0 %" in text_of(sign_in(cast.maya).get("/consistency/"))


def test_the_database_refuses_an_answer_without_verdict_and_a_way_back(organization, cast):
    look = make_second_opinion(organization, by=cast.ada, asked=cast.ben)
    rows = SecondOpinion.objects.filter(pk=look.pk)

    with pytest.raises(IntegrityError, match="approvals_secondopinion_answered_with_verdict"), transaction.atomic():
        rows.update(state=SecondOpinionState.AGREED)
    with pytest.raises(IntegrityError, match="approvals_tiersettings_judges_a_share"), transaction.atomic():
        TierSettings.objects.filter(organization=organization).update(second_opinion_percent=101)


def test_the_number_of_statements_does_not_grow_with_rows(organization, cast, sign_in):
    client = sign_in(cast.ben)
    make_second_opinion(organization, by=cast.ada, asked=cast.ben)
    few = cost(client, LOOKS)
    for _ in range(5):
        make_second_opinion(organization, by=cast.ada, asked=cast.ben)

    assert cost(client, LOOKS) == few <= MOST
