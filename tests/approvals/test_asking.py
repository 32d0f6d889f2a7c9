"""Asking the requester: the clock stands, the answer comes back by link, event or colleague, and the review returns."""

import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import Organization
from approvals import asking
from approvals.errors import AlreadyDecided, NotAsked, NothingSaid, SelfApproval
from approvals.models import Question, Review, Rung
from approvals.services import escalate, void_open
from approvals.states import QUESTION_MOVES, QuestionState, ReviewState
from auditlog.models import Entry
from integrations.models import Notice
from opsdesk.lib import clock
from opsdesk.lib.errors import IllegalMove
from tests.approvals.desk import decision, htmx, signed_in, url
from tests.factories import Cast, make_case, make_desk, make_review
from tests.plugins.line import Line, open_review_of, pass_time, vote
from tests.races import at_once
from workflows.models import Case
from workflows.states import Tier
from workflows.tasks import tick

pytestmark = pytest.mark.django_db
ASKED = "Which parcel came back?"


@pytest.fixture
def cast() -> Cast:
    return make_desk()[1]


@pytest.fixture
def review(cast: Cast) -> Review:
    return make_review(
        make_case(Organization.objects.get()), assignee=cast.ada, due_at=clock.now() + timedelta(hours=4)
    )


def now(review: Review) -> Review:
    return Review.objects.get(pk=review.pk)


# --- asking ----------------------------------------------------------------------------------------------------------


def test_a_question_stops_the_clock_and_takes_the_case_out_of_the_queue(review: Review, cast: Cast):
    question, token = asking.ask(review.pk, by=cast.ada, text=f"  {ASKED}  ")

    assert now(review).state == ReviewState.ASKED
    assert (question.text, question.state) == (ASKED, QuestionState.OPEN)
    assert token not in str(Question.objects.values().get())
    assert not Review.objects.for_queue().exists()
    assert not Review.objects.late().exists()
    assert Case.objects.get().standing == "Waits for the requester's answer; its clock stands."
    entry = Entry.objects.get(verb="approvals.review.asked")
    assert (entry.user, entry.case_id, entry.reason) == (cast.ada, review.case_id, ASKED)
    with pytest.raises(AlreadyDecided):
        vote(review, cast.ada)
    with pytest.raises(AlreadyDecided):
        escalate(review.pk, by=cast.ada, text="")
    with pytest.raises(AlreadyDecided):
        asking.ask(review.pk, by=cast.ada, text="And which colour?")


def test_only_who_may_vote_asks_and_says_what(review: Review, cast: Cast):
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ben)

    with pytest.raises(SelfApproval):
        asking.ask(review.pk, by=cast.ben, text=ASKED)
    with pytest.raises(NothingSaid):
        asking.ask(review.pk, by=cast.ada, text=" \n ")
    with pytest.raises(NothingSaid):
        asking.ask(review.pk, by=cast.ada, text="W" * 5_000)

    assert now(review).state == ReviewState.OPEN
    assert not Question.objects.exists()


def test_a_case_that_would_leave_by_itself_stays_once_somebody_asks(cast: Cast):
    leaving = make_review(
        make_case(Organization.objects.get(), amount="60.00"),
        tier=Tier.FAST_TRACK,
        objection_ends_at=clock.now() + timedelta(minutes=5),
    )

    asking.ask(leaving.pk, by=cast.ada, text=ASKED)

    assert (now(leaving).tier, now(leaving).objection_ends_at) == (Tier.FULL_REVIEW, None)
    assert now(leaving).state == ReviewState.ASKED


def test_a_requester_with_an_account_is_told_and_answers_from_the_case(review: Review, cast: Cast):
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ben)
    question, _ = asking.ask(review.pk, by=cast.ada, text=ASKED)
    assert Notice.objects.filter(recipient=cast.ben, topic=f"question:{question.pk}", body=ASKED).exists()

    signed_in(cast.ben).post(url("answer", review), {"text": "The red one."})

    question.refresh_from_db()
    assert (question.answer, question.answered_by) == ("The red one.", "Ben Marsh")


# --- the answer ------------------------------------------------------------------------------------------------------


def test_an_answer_gives_the_review_back_with_the_time_that_was_left(review: Review, cast: Cast):
    question, token = asking.ask(review.pk, by=cast.ada, text=ASKED)
    Review.objects.filter(pk=review.pk).update(due_at=clock.now() - timedelta(days=2))  # two days went by
    pass_time(timedelta(days=2))

    asking.answer_by_link(token, text="The red one.")

    again = now(review)
    assert (again.state, again.assignee) == (ReviewState.OPEN, cast.ada)
    assert timedelta(hours=3, minutes=59) < again.due_at - clock.now() <= timedelta(hours=4)
    assert list(Review.objects.for_queue()) == [again]
    assert Case.objects.get().standing == "Waits for Ada Okafor to decide."
    entry = Entry.objects.get(verb="approvals.review.answered")
    assert "The red one." in entry.reason
    assert Notice.objects.filter(recipient=cast.ada, topic=f"answer:{question.pk}").exists()
    vote(again, cast.ada)


def test_the_ladder_stands_with_the_clock(review: Review, cast: Cast):
    Rung.objects.create(tier=review.settings, after_minutes=60, what=Rung.What.REMIND)
    Review.objects.update(rung_due_at=clock.now() + timedelta(minutes=60))
    question, token = asking.ask(review.pk, by=cast.ada, text=ASKED)
    Question.objects.filter(pk=question.pk).update(asked_at=clock.now() - timedelta(minutes=90))
    Review.objects.update(opened_at=clock.now() - timedelta(minutes=100))

    asking.answer_by_link(token, text="The red one.")

    assert timedelta(minutes=49) < now(review).rung_due_at - clock.now() <= timedelta(minutes=50, seconds=1)


def test_what_was_late_is_late_again(review: Review, cast: Cast):
    Review.objects.filter(pk=review.pk).update(due_at=clock.now() - timedelta(hours=1))
    _, token = asking.ask(review.pk, by=cast.ada, text=ASKED)
    assert not Review.objects.late().exists()

    asking.answer_by_link(token, text="The red one.")

    assert Review.objects.late().get() == review


def test_a_link_answers_once(review: Review, cast: Cast):
    _, token = asking.ask(review.pk, by=cast.ada, text=ASKED)
    asking.answer_by_link(token, text="The red one.")

    with pytest.raises(NotAsked):
        asking.answer_by_link(token, text="No, the blue one.")

    assert Question.objects.get().answer == "The red one."


@pytest.mark.parametrize("how", ["expired", "replaced", "withdrawn", "voided", "forged", "hash"])
def test_a_link_that_is_no_longer_good_answers_nothing(review: Review, cast: Cast, how: str):
    question, token = asking.ask(review.pk, by=cast.ada, text=ASKED)
    match how:
        case "expired":
            Question.objects.update(expires_at=clock.now())
        case "replaced":
            asking.new_link(question.pk, by=cast.ada)
        case "withdrawn":
            asking.go_on_without(question.pk, by=cast.ada)
        case "voided":
            void_open(review.case, "Corrected.")
        case "forged":
            token = f"{token[:-1]}x" if token[-1] != "x" else f"{token[:-1]}y"
        case "hash":
            token = question.token_hash
    before = Question.objects.values().get()
    client = Client(enforce_csrf_checks=False)

    with pytest.raises(NotAsked):
        asking.answer_by_link(token, text="The red one.")
    pages = [client.get(f"/answers/{token}/"), client.post(f"/answers/{token}/", {"text": "The red one."})]

    assert [page.status_code for page in pages] == [404, 404]
    assert ASKED not in pages[0].content.decode()
    assert Question.objects.values().get() == before


def test_a_new_link_takes_the_answer_after_the_old_one_expired(review: Review, cast: Cast):
    question, _ = asking.ask(review.pk, by=cast.ada, text=ASKED)
    Question.objects.update(expires_at=clock.now())

    _, token = asking.new_link(question.pk, by=cast.ben)
    asking.answer_by_link(token, text="The red one.")

    assert now(review).state == ReviewState.OPEN


def test_people_go_on_without_an_answer(review: Review, cast: Cast):
    question, _ = asking.ask(review.pk, by=cast.ada, text=ASKED)

    signed_in(cast.maya).post(url("unask", review))

    question.refresh_from_db()
    assert (question.state, question.answer) == (QuestionState.WITHDRAWN, "")
    assert now(review).state == ReviewState.OPEN
    assert Entry.objects.filter(verb="approvals.review.unasked", user=cast.maya).exists()
    vote(review, cast.ada)


def test_a_correction_closes_the_question_with_its_review(review: Review, cast: Cast):
    question, _ = asking.ask(review.pk, by=cast.ada, text=ASKED)

    void_open(review.case, "Corrected.")

    question.refresh_from_db()
    assert (now(review).state, question.state) == (ReviewState.VOID, QuestionState.WITHDRAWN)


def test_who_can_no_longer_vote_does_not_get_it_back(review: Review, cast: Cast):
    _, token = asking.ask(review.pk, by=cast.ada, text=ASKED)
    cast.ada.memberships.update(ended_at=clock.now())

    asking.answer_by_link(token, text="The red one.")

    assert now(review).assignee in (cast.ben, cast.maya)


@pytest.mark.django_db(transaction=True)
def test_two_answers_at_once_are_one(review: Review, cast: Cast):
    question, token = asking.ask(review.pk, by=cast.ada, text=ASKED)

    results = at_once(
        lambda: asking.answer_by_link(token, text="red"),
        lambda: asking.answer_by_link(token, text="blue"),
        lambda: asking.go_on_without(question.pk, by=cast.ada),
    )

    assert sum(isinstance(result, NotAsked) for result in results) == 2
    assert now(review).state == ReviewState.OPEN


def test_an_event_brings_the_answer(line: Line):
    case = line.ask("141.48")
    tick()
    review = open_review_of(case)
    asking.ask(review.pk, by=line.cast.ada, text=ASKED)

    line.hear("question.answered", {"reference": case.key, "answer": "The red one."})
    repeated = line.hear("question.answered", {"reference": case.key, "answer": "The blue one."})
    empty = line.hear("question.answered", {"reference": case.key})
    tick()

    assert Question.objects.get().answer == "The red one."
    assert now(review).state == ReviewState.OPEN
    for event, says in ((repeated, "No question waits"), (empty, "names no reference")):
        event.refresh_from_db()
        assert says in event.reason
    vote(now(review), line.cast.ada)
    line.let_pass(seconds=11)
    line.assert_sound()


# --- what the database holds -----------------------------------------------------------------------------------------


def test_the_database_repeats_the_rules(review: Review, cast: Cast):
    question, _ = asking.ask(review.pk, by=cast.ada, text=ASKED)
    row = Question.objects.get()
    row.pk, row.token_hash = None, "0" * 64

    for change in ({"state": "answered", "closed_at": clock.now()}, {"answer": "x"}, {"closed_at": clock.now()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Question.objects.filter(pk=question.pk).update(**change)
    with pytest.raises(IntegrityError, match="approvals_question_one_open_per_review"), transaction.atomic():
        row.save(force_insert=True)
    asking.go_on_without(question.pk, by=cast.ada)
    question.refresh_from_db()
    for new in QuestionState:
        assert new not in QUESTION_MOVES[QuestionState.WITHDRAWN]
        with pytest.raises(IllegalMove):
            question.move_to(new)


# --- pages -----------------------------------------------------------------------------------------------------------


def test_asking_from_the_case_shows_the_link_once(review: Review, cast: Cast):
    ada = signed_in(cast.ada)

    asked = ada.post(url("ask", review), decision(review, text=ASKED), **htmx())
    link = re.search(r'value="http[^"]*(/answers/[^"]+/)"', asked.content.decode())
    again = ada.get(url("case", review)).content.decode()

    assert asked.status_code == 200
    assert link is not None
    assert ASKED in again
    assert "/answers/" not in again
    assert "Waits for the requester" in again
    later = ada.get("/queue/?view=later").content.decode()
    assert f'id="queue-row-{review.pk}"' in later
    assert f'id="queue-row-{review.pk}"' not in ada.get("/queue/").content.decode()


def test_asking_nothing_is_said_in_place(review: Review, cast: Cast):
    response = signed_in(cast.ada).post(url("ask", review), decision(review, text=""), **htmx())

    assert response.status_code == 422
    assert "Say what the requester is asked." in response.content.decode()


def test_the_page_of_the_link_changes_nothing_until_it_is_sent(review: Review, cast: Cast):
    _, token = asking.ask(review.pk, by=cast.ada, text=ASKED)
    address, anybody = f"/answers/{token}/", Client(enforce_csrf_checks=True)
    before = Question.objects.values().get(), Review.objects.values().get(), Entry.objects.count()

    shown = anybody.get(address)
    looked = [anybody.head(address), anybody.options(address), anybody.post(address, {"text": "no token"})]

    assert [shown.status_code, *(response.status_code for response in looked)] == [200, 200, 405, 403]
    assert ASKED in shown.content.decode()
    assert "no-store" in shown.headers["Cache-Control"]
    assert "£141.48" not in shown.content.decode()
    assert (Question.objects.values().get(), Review.objects.values().get(), Entry.objects.count()) == before


def test_whoever_has_the_link_answers_without_an_account(review: Review, cast: Cast):
    _, token = asking.ask(review.pk, by=cast.ada, text=ASKED)
    address, anybody = f"/answers/{token}/", Client()

    empty = anybody.post(address, {"text": "  "})
    sent = anybody.post(address, {"text": "<b>The red one.</b>"})
    again = anybody.get(address)

    assert (empty.status_code, sent.status_code, again.status_code) == (422, 200, 404)
    assert "has arrived" in sent.content.decode()
    page = signed_in(cast.ada).get(url("case", review)).content.decode()
    assert "&lt;b&gt;The red one.&lt;/b&gt;" in page


def test_a_new_link_is_made_from_the_case(review: Review, cast: Cast):
    asking.ask(review.pk, by=cast.ada, text=ASKED)

    response = signed_in(cast.ben).post(url("new_link", review), **htmx())

    assert "/answers/" in response.content.decode()
    asking.answer_by_link(re.search(r"/answers/([^/]+)/", response.content.decode())[1], text="Red.")
    refused = signed_in(cast.ben).post(url("new_link", review), **htmx())
    assert refused.status_code == 409
