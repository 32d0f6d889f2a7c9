"""Deciding in the browser: with htmx and without, alone and overtaken."""

import re
from datetime import timedelta

import pytest

from approvals import services
from approvals.models import ReasonCode, Review, Stage, Vote
from approvals.services import Rationale
from approvals.states import ReviewState, Verdict
from auditlog.models import Entry
from opsdesk.lib import clock
from tests.approvals.desk import decision, htmx, signed_in, url
from tests.factories import make_case, make_desk, make_failure, make_review, make_run
from workflows.models import Case, Correction
from workflows.states import CaseState, RunState, Tier

pytestmark = pytest.mark.django_db
FROM_QUEUE = "?from=queue"


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
def ada(cast):
    return signed_in(cast.ada)


@pytest.fixture
def review(organization):
    return make_review(make_case(organization))


def state_of(review):
    return Review.objects.get(pk=review.pk).state


def code_of(review, code):
    return ReasonCode.objects.get(organization_id=review.organization_id, code=code)


def text_of(response):
    return response.content.decode()


@pytest.mark.parametrize(("verdict", "state"), [("approve", ReviewState.APPROVING), ("reject", ReviewState.REJECTING)])
def test_one_click_decides_with_its_reason(ada, cast, review, verdict, state):
    response = ada.post(url("decide", review), decision(review, verdict), **htmx())

    assert response.status_code == 200
    assert state_of(review) == state
    vote = Vote.objects.get()
    assert (vote.voter, vote.verdict, vote.reason_code.verdict) == (cast.ada, verdict, verdict)


@pytest.mark.parametrize("name", ["decide", "take_back", "escalate", "object", "correct", "retry", "reassign"])
def test_looking_never_decides(cast, review, name):
    client = signed_in(cast.maya)

    for method in (client.get, client.head, client.options):
        assert method(url(name, review)).status_code == 405
    assert state_of(review) == ReviewState.OPEN
    assert not Vote.objects.exists()
    assert not Entry.objects.filter(case_id=review.case_id).exists()


@pytest.mark.parametrize("name", ["decide", "take_back", "escalate", "object", "leaving_object"])
@pytest.mark.parametrize("who", ["tomasz", "ines"])
def test_roles_that_do_not_decide_are_refused(cast, review, name, who):
    response = signed_in(getattr(cast, who)).post(url(name, review), decision(review))

    assert response.status_code == 403
    assert state_of(review) == ReviewState.OPEN


def test_a_decision_without_the_token_is_refused(cast, review):
    client = signed_in(cast.ada)
    client.handler.enforce_csrf_checks = True

    assert client.post(url("decide", review), decision(review)).status_code == 403
    assert state_of(review) == ReviewState.OPEN


def test_after_a_decision_in_the_queue_the_next_case_opens_by_itself(ada, organization):
    due = clock.now() + timedelta(hours=1)
    first, second, third = (
        make_review(make_case(organization), due_at=due + timedelta(minutes=minutes)) for minutes in range(3)
    )
    shown = f"{first.pk}.{second.pk}.{third.pk}"

    response = ada.post(url("decide", second, FROM_QUEUE), decision(second, shown=shown), **htmx())

    page = text_of(response)
    assert page.strip().startswith(f'<div class="opened chosen" id="opened" data-case="{third.case_id}"')
    assert f'<a id="queue-row-{second.pk}" hx-swap-oob="delete">' in page
    assert f'value="{first.pk}.{third.pk}" hx-swap-oob="true"' in page
    assert "All <b>2</b>" in page
    assert "Approved" in page and f"<b>{second.case}</b>" in page and "Undo" in page
    assert response.headers["HX-Replace-Url"] == f"/queue/?case={third.case_id}"
    assert f"Approved {second.case}. Next: {third.case.who}" in response.headers["HX-Trigger"]


def test_after_the_last_row_it_begins_again_and_an_empty_queue_says_so(ada, organization):
    first, last = make_review(make_case(organization)), make_review(make_case(organization))
    shown = f"{first.pk}.{last.pk}"

    again = ada.post(url("decide", last, FROM_QUEUE), decision(last, shown=shown), **htmx())
    nothing = ada.post(url("decide", first, FROM_QUEUE), decision(first, shown=first.pk), **htmx())

    assert f'data-case="{first.case_id}"' in text_of(again)
    assert nothing.headers["HX-Retarget"] == "#desk"
    assert "Nothing waits for a person" in text_of(nothing)
    assert "Undo" in text_of(nothing)


def test_a_next_case_that_is_not_in_the_list_brings_the_list_afresh(ada, organization):
    review, new = make_review(make_case(organization)), make_review(make_case(organization))

    response = ada.post(url("decide", review, FROM_QUEUE), decision(review, shown=review.pk), **htmx())

    assert response.headers["HX-Retarget"] == "#desk"
    assert f'id="queue-row-{new.pk}"' in text_of(response)


def test_filters_are_kept_after_a_decision(ada, cast, organization):
    mine = [make_review(make_case(organization), assignee=cast.ada) for _ in range(2)]
    make_review(make_case(organization), assignee=cast.ben)

    with_htmx = ada.post(
        url("decide", mine[0], "?view=mine&least=1&from=queue"),
        decision(mine[0], shown=f"{mine[0].pk}.{mine[1].pk}"),
        **htmx(),
    )
    without = ada.post(url("decide", mine[1], "?view=mine&least=1&from=queue"), decision(mine[1]))

    assert with_htmx.headers["HX-Replace-Url"] == f"/queue/?view=mine&least=1&case={mine[1].case_id}"
    assert without.headers["Location"] == "/queue/?view=mine&least=1"


def test_without_a_script_a_decision_leads_back_to_the_queue(ada, organization, review):
    other = make_review(make_case(organization))

    response = ada.post(url("decide", review, FROM_QUEUE), decision(review), follow=True)

    assert response.redirect_chain == [(f"/queue/?case={other.case_id}", 302)]
    assert f"<b>{review.case}</b>" in text_of(response)
    assert "Undo" in text_of(response)


def test_from_the_case_page_one_stays_there(ada, review):
    answered = ada.post(url("decide", review), decision(review), **htmx())
    state = text_of(answered)

    assert "Approved by Ada Okafor, " in state
    assert 'value="approve"' not in state
    assert (
        signed_in(review.case.organization.memberships.get(user__username="ben").user)
        .post(url("decide", review), decision(review))
        .status_code
        == 409
    )


def test_while_it_can_be_taken_back_the_case_no_longer_says_that_it_waits_for_somebody(ada, review):
    Case.objects.filter(pk=review.case_id).update(standing="Waits for Ada Okafor to decide.")

    state = text_of(ada.post(url("decide", review), decision(review), **htmx()))

    assert "takes effect in a moment" in state
    assert "Waits for Ada Okafor" not in state


def test_a_lost_race_is_told_in_place_with_who_and_when(ada, cast, review):
    services.decide(
        review.pk,
        voter=cast.ben,
        verdict=Verdict.APPROVE,
        rationale=Rationale(code_of(review, "goods-returned")),
        seen=review.content_hash,
    )
    said = Review.objects.get(pk=review.pk)

    response = ada.post(url("decide", review, FROM_QUEUE), decision(review, "reject"), **htmx())

    page = text_of(response)
    assert response.status_code == 409
    assert re.search(r"Already approved by Ben Marsh, \d\d:\d\d\.", page)
    assert 'value="reject"' not in page
    assert (said.state, Vote.objects.count()) == (ReviewState.APPROVING, 1)


def test_content_that_changed_is_read_again_before_it_is_decided(ada, review):
    Case.objects.filter(pk=review.case_id).update(amount_minor=1)

    response = ada.post(url("decide", review), decision(review), **htmx())

    assert response.status_code == 409
    assert "The case changed while you looked at it" in text_of(response)
    assert "Approve £0.01" in text_of(response)
    assert not Vote.objects.exists()


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"reason_approve": ""}, "Choose a reason to approve."),
        ({"reason_approve": "999999"}, "Choose a reason to approve."),
        ({"reason_approve": "x\x00"}, "Null characters are not allowed."),
        ({"verdict": "reject", "reason_reject": ""}, "Choose a reason to reject."),
        ({"reason_approve": "goodwill"}, "Say why, in at least 10 characters."),
        ({"reason_approve": "goodwill", "text": "   short  "}, "Say why, in at least 10 characters."),
        ({"reason_approve": "never-bought"}, "Choose a reason to approve."),
    ],
)
def test_a_missing_rationale_is_asked_for_and_decides_nothing(ada, review, sent, says):
    codes = {code.code: code.pk for code in ReasonCode.objects.all()}
    sent = {name: codes.get(value, value) for name, value in sent.items()}

    response = ada.post(url("decide", review), decision(review, **sent), **htmx())

    assert response.status_code == 422
    assert says in text_of(response)
    assert state_of(review) == ReviewState.OPEN
    assert not Vote.objects.exists()


def test_what_was_typed_is_kept_when_something_is_missing(ada, review):
    goodwill = code_of(review, "goodwill").pk

    page = text_of(ada.post(url("decide", review), decision(review, reason_approve=goodwill, text="too few"), **htmx()))

    assert ">too few</textarea>" in page
    assert f'value="{goodwill}" checked' in page
    assert 'data-named="approve">Goodwill</small>' in page


def test_a_tier_that_asks_for_a_sentence_gets_one(ada, review):
    review.settings.text_needed = True
    review.settings.save()

    refused = ada.post(url("decide", review), decision(review), **htmx())
    taken = ada.post(url("decide", review), decision(review, text="Two photos show the crack."), **htmx())

    assert (refused.status_code, taken.status_code) == (422, 200)
    assert Vote.objects.get().text == "Two photos show the crack."


def test_a_reason_of_another_organization_is_no_reason(ada, review):
    theirs, _ = make_desk("elsewhere", suffix="2")
    code = theirs.reason_codes.get(code="goods-returned")

    response = ada.post(url("decide", review), decision(review, reason_approve=code.pk), **htmx())

    assert response.status_code == 422
    assert not Vote.objects.exists()


def test_a_vote_that_needs_another_keeps_its_row(ada, organization, review):
    Stage.objects.filter(tier=review.settings).update(votes=2)
    other = make_review(make_case(organization))

    response = ada.post(url("decide", review, FROM_QUEUE), decision(review, shown=f"{review.pk}.{other.pk}"), **htmx())

    assert state_of(review) == ReviewState.OPEN
    assert "it needs another vote" in response.headers["HX-Trigger"]
    assert f'id="queue-row-{review.pk}"' in text_of(response)
    assert 'hx-swap-oob="delete"' not in text_of(response)


def test_undo_opens_the_case_again(ada, organization, review):
    make_review(make_case(organization))
    ada.post(url("decide", review, FROM_QUEUE), decision(review), **htmx())

    response = ada.post(url("take_back", review, FROM_QUEUE), **htmx())

    assert state_of(review) == ReviewState.OPEN
    assert response.headers["HX-Retarget"] == "#desk"
    assert f'data-case="{review.case_id}" hx-target="#opened"' in text_of(response)
    assert f'id="queue-row-{review.pk}"' in text_of(response)
    assert Vote.objects.get().withdrawn_at is not None


def test_undo_is_offered_to_the_one_who_decided_and_only_while_it_is_possible(cast, review):
    signed_in(cast.ada).post(url("decide", review), decision(review), **htmx())

    own = text_of(signed_in(cast.ada).get("/queue/"))
    others = text_of(signed_in(cast.ben).get("/queue/"))
    Review.objects.filter(pk=review.pk).update(settles_at=clock.now() - timedelta(seconds=1))
    later = text_of(signed_in(cast.ada).get("/queue/"))

    assert url("take_back", review) in own
    assert url("take_back", review) not in others
    assert url("take_back", review) not in later


def test_undo_that_comes_too_late_is_refused_in_place(ada, review):
    ada.post(url("decide", review), decision(review), **htmx())
    Review.objects.filter(pk=review.pk).update(settles_at=clock.now() - timedelta(seconds=1))

    response = ada.post(url("take_back", review), **htmx())

    assert response.status_code == 409
    assert "It can no longer be taken back" in text_of(response)
    assert state_of(review) == ReviewState.APPROVING


def test_escalating_keeps_the_case_in_the_queue(ada, cast, organization, review):
    other = make_review(make_case(organization))

    response = ada.post(
        url("escalate", review, FROM_QUEUE), {"text": "Over my head.", "shown": f"{review.pk}.{other.pk}"}, **htmx()
    )

    review.refresh_from_db()
    assert review.state == ReviewState.OPEN and review.escalated_at is not None
    assert f'data-case="{other.case_id}"' in text_of(response)
    assert "escalated" in text_of(response)
    assert Entry.objects.get(verb="approvals.review.escalated").reason == "Over my head."


def test_objecting_on_the_case_page_hands_it_to_people(cast, organization):
    review = make_review(
        make_case(organization), tier=Tier.FAST_TRACK, objection_ends_at=clock.now() + timedelta(minutes=9)
    )

    response = signed_in(cast.maya).post(url("object", review), {"text": "Odd customer."}, **htmx())

    review.refresh_from_db()
    assert (review.state, review.tier, review.objection_ends_at) == (ReviewState.OPEN, Tier.FULL_REVIEW, None)
    assert "waits for people now" in response.headers["HX-Trigger"]
    assert Entry.objects.get(verb="approvals.review.objected").reason == "Odd customer."


def test_a_second_objection_is_told_in_place(cast, review):
    response = signed_in(cast.maya).post(url("object", review), **htmx())

    assert response.status_code == 409
    assert "Somebody has already objected" in text_of(response)


@pytest.fixture
def stopped(organization):
    failure = make_failure(organization, message="The request has no amount.")
    run = failure.items.get().run
    Case.objects.filter(pk=run.case_id).update(
        data={"reference": "C1", "amount": "x", "currency": "GBP", "payment": "pi_1"}
    )
    return Case.objects.get(pk=run.case_id)


def corrected(**changes):
    sent = {"reference": "C1", "amount": "x", "currency": "GBP", "order": "", "payment": "pi_1", "customer": ""}
    return {**sent, "reason": "The shop says so.", **changes}


def test_a_correction_starts_the_case_over(ada, cast, stopped):
    response = ada.post(f"/cases/{stopped.pk}/correct/", corrected(amount="12.50"), **htmx())

    stopped.refresh_from_db()
    assert response.status_code == 200
    assert (stopped.state, stopped.amount_minor) == (CaseState.OPEN, 1250)
    assert stopped.runs.get().state == RunState.READY
    assert Correction.objects.get().user == cast.ada
    assert "case-moved" in text_of(response)


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        ({"amount": "12.50", "reason": "x"}, 422, "at least 5 characters"),
        ({}, 409, "Nothing was changed."),
        ({"amount": "1" * 101}, 422, "at most 100 characters"),
    ],
)
def test_a_correction_that_cannot_be_is_refused_in_place(ada, stopped, sent, status, says):
    response = ada.post(f"/cases/{stopped.pk}/correct/", corrected(**sent), **htmx())

    assert response.status_code == status
    assert says in text_of(response)
    assert '<details class="more-forms" open>' in text_of(response)
    assert not Correction.objects.exists()


def test_only_what_a_person_changed_is_rewritten(ada, organization):
    case = make_case(organization, data={"reference": "C9", "amount": 12, "currency": "GBP", "lines": [1]})
    make_run(case, state=RunState.FAILED)
    Case.objects.filter(pk=case.pk).update(state=CaseState.FAILED)

    ada.post(f"/cases/{case.pk}/correct/", {**corrected(reference="C9", amount="12"), "payment": "pi_2"}, **htmx())

    assert Correction.objects.get().after["amount"] == 12
    assert Correction.objects.get().after["payment"] == "pi_2"


def test_trying_again_is_for_those_who_repair(cast, stopped):
    address, reason = f"/cases/{stopped.pk}/retry/", {"reason": "The gateway is back."}
    maya = signed_in(cast.maya)

    refused = signed_in(cast.ada).post(address, reason)
    silent, done, twice = (maya.post(address, sent, **htmx()) for sent in ({}, reason, reason))

    assert [answer.status_code for answer in (refused, silent, done, twice)] == [403, 422, 200, 409]
    assert stopped.runs.get().state == RunState.READY
    assert "This run has not failed" in text_of(twice)
