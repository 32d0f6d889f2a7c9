"""Asking the requester: the clock of the review stands until the answer is there, or people go on without it.

The answer comes by a link that can be used once, by an event of the outside, or by a colleague who was told it.
"""

import hashlib
import secrets
from datetime import timedelta

from django.db import transaction
from django.urls import reverse

from accounts.calendar import hours_of
from accounts.models import Organization, User
from approvals import claims, opening, rungs, services, terms, voters
from approvals.errors import NotAsked, NothingSaid
from approvals.models import Question, Review
from approvals.models.questions import LONGEST_ANSWER
from approvals.states import QuestionState, ReviewState
from auditlog.services import Actor, record
from integrations import notices
from opsdesk.lib import clock
from workflows.models import Case, Event
from workflows.registry import Reading
from workflows.states import CASE_FINAL, Tier

LINK_LIFE = timedelta(days=14)
# The type of the event that brings an answer: data names the case by its `reference`, and has the `answer`.
ANSWER_EVENT = "question.answered"
_TOKEN_BYTES = 32


def hash_of(token: str) -> str:
    """What is kept of a link's token (hex SHA-256): enough to know it again, not to make it."""
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def ask(review_id: int, *, by: User, text: str) -> tuple[Question, str]:
    """Ask the requester and stop the review's clock; gives the question and its link's token, which is kept nowhere.

    A case that would leave by itself no longer does. Raises AlreadyDecided, SelfApproval, NotAVoter, NothingSaid.
    """
    case, review = services.locked_review(review_id)
    services.refuse_if_decided(review)
    voters.check_voter(review, voters.stage_of(review), by)
    claims.refuse_if_held(review, by)
    text = _said(text, "Say what the requester is asked.")
    if review.tier == Tier.FAST_TRACK:
        services.to_full_review(review)
    now = clock.now()
    hours = hours_of(Organization.objects.get(pk=review.organization_id))
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    review.move_to(ReviewState.ASKED)
    question = Question.objects.create(
        organization_id=review.organization_id,
        case=case,
        review=review,
        text=text,
        asked_by=by,
        left=hours.between(now, review.due_at) if review.due_at > now else None,
        token_hash=hash_of(token),
        expires_at=now + LINK_LIFE,
    )
    claims.end(review)
    opening.say_standing(review)
    _tell("asked", question, Actor.person(by), text)
    if case.requested_by_user is not None:
        notices.tell(
            [case.requested_by_user],
            case=case,
            topic=f"question:{question.pk}",
            subject=f"{by} asks about {case.key}",
            body=text,
            path=reverse("approvals:case", args=[case.pk]),
        )
    return question, token


@transaction.atomic
def new_link(question_id: int, *, by: User) -> tuple[Question, str]:
    """Make another link, for one that was lost or has expired; the one before is void. Raises NotAsked."""
    case, _, question = _locked(question_id)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    question.token_hash, question.expires_at = hash_of(token), clock.now() + LINK_LIFE
    question.save(update_fields=["token_hash", "expires_at"])
    _tell("linked", question, Actor.person(by), f"A new link for the answer about {case.key}; the one before is void.")
    return question, token


def open_by(token: str) -> Question | None:
    """The question that a link answers now; None for a link that answers nothing (any more)."""
    found = Question.objects.open().filter(token_hash=hash_of(token), expires_at__gt=clock.now())
    return found.select_related("case", "organization", "asked_by").first()


@transaction.atomic
def answer_by_link(token: str, *, text: str) -> Question:
    """Take the answer that came through the link, once. Raises NotAsked, NothingSaid."""
    found = open_by(token)
    if found is None:
        raise NotAsked
    case, review, question = _locked(found.pk)
    # The link may have been replaced while its lock was waited for.
    if question.token_hash != hash_of(token):
        raise NotAsked
    who = f"{case.requested_by or 'the requester'}, through the link"
    return _take(question, review, text, who=who, actor=Actor.outside("the link"))


@transaction.atomic
def answer_by_person(question_id: int, *, by: User, text: str) -> Question:
    """Take an answer from a colleague who was told it, or from the requester who has an account. Raises as above."""
    case, review, question = _locked(question_id)
    who = f"{by}" if case.requested_by_user_id == by.pk else f"{by}, who was told"
    return _take(question, review, text, who=who, actor=Actor.person(by))


@transaction.atomic
def go_on_without(question_id: int, *, by: User) -> Question:
    """Decide without the answer: the question is closed, the clock goes on. Raises NotAsked."""
    _, review, question = _locked(question_id)
    question.move_to(QuestionState.WITHDRAWN, closed_at=clock.now())
    _tell("unasked", question, Actor.person(by), f"{by} goes on without an answer.")
    _go_on(question, review)
    return question


def take_news(event: Event, reading: Reading) -> str:
    """An answer that an event brought: {"reference": the case's key, "answer": text}; says what became of it."""
    key, text = reading.data.get("reference"), reading.data.get("answer")
    if not isinstance(key, str) or not isinstance(text, str):
        return "The answer names no reference, or says nothing."
    waiting = Question.objects.open().filter(organization_id=event.organization_id, case__key=key.strip())
    found = waiting.exclude(case__state__in=CASE_FINAL).first()
    if found is None:
        return "No question waits for this answer."
    try:
        case, review, question = _locked(found.pk)
        who = f"{case.requested_by or 'the requester'}, through {event.source}"
        _take(question, review, text, who=who, actor=Actor.outside(event.source))
    except (NotAsked, NothingSaid) as refused:
        return str(refused)
    event.case = case
    return f"Answered the question about {case}."


def _locked(question_id: int) -> tuple[Case, Review, Question]:
    """Case, review and question under their locks, in that order. Raises NotAsked when it waits for no answer."""
    review_id = Question.objects.values_list("review_id", flat=True).get(pk=question_id)
    case, review = services.locked_review(review_id)
    question = Question.objects.locked().select_related("asked_by").get(pk=question_id)
    if question.state != QuestionState.OPEN or review.state != ReviewState.ASKED:
        raise NotAsked
    return case, review, question


def _said(text: str, otherwise: str) -> str:
    text = text.strip().replace("\x00", "")
    if not text:
        raise NothingSaid(otherwise)
    if len(text) > LONGEST_ANSWER:
        raise NothingSaid(f"That is longer than {LONGEST_ANSWER:,} characters.")
    return text


def _take(question: Question, review: Review, text: str, *, who: str, actor: Actor) -> Question:
    text = _said(text, "Write the answer.")
    question.move_to(QuestionState.ANSWERED, closed_at=clock.now(), answer=text, answered_by=who[:120])
    _tell("answered", question, actor, f"{who}: {text}")
    _go_on(question, review)
    case = review.case
    notices.tell(
        [question.asked_by],
        case=case,
        topic=f"answer:{question.pk}",
        subject=f"The answer about {case} is there",
        body=f"You asked: {question.text}\n\n{text}",
        path=reverse("approvals:case", args=[case.pk]),
    )
    return question


def _go_on(question: Question, review: Review) -> None:
    """Back to the queue; as much business time is left as when the clock was stopped."""
    due_at = review.due_at
    if question.left is not None:
        hours = hours_of(Organization.objects.get(pk=review.organization_id))
        due_at = hours.add(clock.now(), question.left)
    review.move_to(ReviewState.OPEN, due_at=due_at)
    rungs.go_on(review)
    stages = terms.stages_of(review)
    able = voters.eligible(review, stages[review.stage]) if review.stage < len(stages) else []
    if review.assignee not in able:
        opening.assign(review)
    opening.say_standing(review)


def _tell(verb: str, question: Question, actor: Actor, reason: str) -> None:
    record(
        f"approvals.review.{verb}",
        actor=actor,
        organization_id=question.organization_id,
        subject=("review", question.review_id),
        case_id=question.case_id,
        after={"question": question.pk},
        reason=reason[:500],
    )
