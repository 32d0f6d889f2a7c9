"""Deciding: every click, timer and API call goes through these functions, and the database lets one of them win."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction

from accounts.models import Team, User
from approvals import ceilings, claims, opening, rungs, terms, voters
from approvals.errors import (
    AlreadyDecided,
    ContentChanged,
    NotAVoter,
    NothingToRefund,
    RationaleMissing,
    SelfApproval,
    TooLate,
    WrongAmount,
)
from approvals.grants import least_of
from approvals.latecomers import kept_when_late
from approvals.models import Question, ReasonCode, Review, TierSettings, Vote
from approvals.states import REVIEW_FINAL, QuestionState, ReviewState, Timer, Verdict
from auditlog.services import Actor, record
from opsdesk.lib import clock
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.money import Money
from workflows import cases
from workflows.models import Case
from workflows.states import Tier


@dataclass(frozen=True, slots=True)
class Rationale:
    """Why somebody decided: a managed reason code, and a sentence where the tier or the code asks for one."""

    code: ReasonCode
    text: str = ""
    second_look: bool = False  # the person says that they looked at the evidence again


def locked_review(review_id: int) -> tuple[Case, Review]:
    """Case and review under their row locks, in the order in which everybody takes them."""
    case_id = Review.objects.values_list("case_id", flat=True).get(pk=review_id)
    case = cases.locked(case_id)
    review = Review.objects.locked().select_related("settings", "decision", "run", "decided_by").get(pk=review_id)
    review.case = case
    return case, review


def decide(
    review_id: int,
    *,
    voter: User,
    verdict: Verdict,
    rationale: Rationale,
    seen: str,
    amount: Money | None = None,
    bulk_id: int | None = None,
) -> Review:
    """Cast one vote; a rejection or the last vote decides, and takes effect after the undo window.

    `seen` is the content hash of what the person looked at; `amount` what is approved, where not all that is asked;
    `bulk_id` the bulk that this is an item of.
    Raises AlreadyDecided, ContentChanged, SelfApproval, NotAVoter, VotedBefore, HeldByAnother, RationaleMissing,
    NothingToRefund, WrongAmount, AboveCeiling, DayUsedUp.
    """
    with kept_when_late(review_id, by=voter, wanted=verdict), transaction.atomic():
        case, review = locked_review(review_id)
        refuse_if_decided(review)
        absence = voters.check_voter(review, voters.stage_of(review), voter)
        if seen != review.content_hash or review.content_hash != case.content_hash(review.run.facts):
            raise ContentChanged
        claims.refuse_if_held(review, voter)
        _check_rationale(review, case, verdict, rationale)
        if verdict == Verdict.APPROVE and not case.target:
            raise NothingToRefund
        lesser = _lesser(review, verdict, amount)
        if verdict == Verdict.APPROVE:
            ceilings.refuse_if_used_up(review, voter, _money(case, lesser))
        vote = Vote.objects.create(
            review=review,
            stage=review.stage,
            voter=voter,
            person_key=voters.person_key(voter),
            absence=absence,
            seat_key=voters.person_key(absence.user if absence else voter),
            verdict=verdict,
            reason_code=rationale.code,
            text=rationale.text,
            second_look=rationale.second_look,
            amount_minor=lesser,
            content_hash=review.content_hash,
        )
        _tell_vote(review, case, vote, bulk_id)
        claims.end(review)
        _after_vote(review, voter, verdict)
        crashpoint("vote.before_commit")
        transaction.on_commit(lambda: crashpoint("vote.after_commit"))
        return review


def _tell_vote(review: Review, case: Case, vote: Vote, bulk_id: int | None) -> None:
    absence, code = vote.absence, vote.reason_code
    record(
        f"approvals.review.voted_{vote.verdict}",
        actor=Actor.person(vote.voter),
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=case.pk,
        after={
            "stage": review.stage,
            "code": code.code,
            "amount": case.amount_minor if vote.amount_minor is None else vote.amount_minor,
            "asked": case.amount_minor,
            "hash": vote.content_hash,
            **({"for": str(absence.user)} if absence else {}),
            **({"bulk": bulk_id} if bulk_id is not None else {}),
        },
        reason=f"{code.label}. {vote.text}".strip()
        + (f" For {absence.user}, away until {absence.ends_on}." if absence else ""),
    )


def refuse_if_decided(review: Review) -> None:
    """Raise AlreadyDecided with who and when."""
    if review.state == ReviewState.OPEN:
        return
    who = f" by {review.decided_by}" if review.decided_by else ""
    when = f", {review.closed_at or review.settles_at:%H:%M} UTC" if review.closed_at or review.settles_at else ""
    raise AlreadyDecided(f"{review.get_state_display()}{who}{when}.")


def _check_rationale(review: Review, case: Case, verdict: Verdict, rationale: Rationale) -> None:
    code, asked = rationale.code, terms.of(review)
    if code.organization_id != review.organization_id or not code.fits(case.kind, verdict):
        raise RationaleMissing("Choose a reason from the list.")
    if (asked.text_needed or code.text_needed) and len(rationale.text.strip()) < asked.text_minimum:
        raise RationaleMissing(f"Say why in a sentence of at least {asked.text_minimum} characters.")
    if (asked.second_look or code.second_look) and not rationale.second_look:
        raise RationaleMissing("Look at the evidence a second time, and say that you did.")


def _lesser(review: Review, verdict: Verdict, amount: Money | None) -> int | None:
    """Minor units that a vote is for, where they are less than what is asked. Raises WrongAmount."""
    asked = review.case.amount
    if verdict != Verdict.APPROVE:
        if amount is not None:
            raise WrongAmount("A rejection is of the whole request: it has no amount.")
        return None
    if amount is None:
        # What the button offered: no more than those before approved.
        return least_of(standing_votes(review))
    if asked is None or amount.currency != asked.currency:
        raise WrongAmount(f"{amount} is not in the currency of the request, {review.case.currency or 'none'}.")
    if not 0 < amount.minor <= asked.minor:
        raise WrongAmount(f"Approve more than nothing and at most what is asked, {asked}: {amount} is not.")
    return amount.minor if amount.minor < asked.minor else None


def _money(case: Case, lesser: int | None) -> Money | None:
    """What a vote approves: the lesser amount where there is one."""
    return case.amount if lesser is None else Money(lesser, case.currency)


def standing_votes(review: Review) -> list[Vote]:
    """The approving votes that count now, with their voters."""
    votes = review.votes.filter(verdict=Verdict.APPROVE, withdrawn_at=None)
    return list(votes.select_related("voter", "review__case__requested_by_user", "review__settings", "absence__user"))


def _after_vote(review: Review, voter: User, verdict: Verdict) -> None:
    settles_at = clock.now() + timedelta(seconds=terms.of(review).undo_seconds)
    if verdict == Verdict.REJECT:
        review.move_to(ReviewState.REJECTING, settles_at=settles_at, decided_by=voter)
    elif not _ask_stage(review):
        agreed = terms.as_asked(review)
        review.move_to(
            ReviewState.APPROVING, settles_at=settles_at, decided_by=voter, objection_ends_at=None, terms=agreed
        )


def _ask_stage(review: Review) -> bool:
    """Have the first stage that lacks votes vote; False when none does."""
    lacking = voters.lacking_stage(review)
    if lacking is None:
        return False
    review.stage = lacking
    review.save(update_fields=["stage"])
    opening.assign(review)
    opening.say_standing(review)
    return True


@transaction.atomic
def take_back(review_id: int, *, voter: User) -> Review:
    """Withdraw one's own vote while the undo window is open. Raises TooLate, AlreadyDecided."""
    case, review = locked_review(review_id)
    vote = review.votes.filter(person_key=voters.person_key(voter), withdrawn_at=None).first()
    if vote is None or review.state not in (ReviewState.APPROVING, ReviewState.REJECTING):
        raise TooLate
    if review.settles_at is None or review.settles_at <= clock.now():
        raise TooLate
    Vote.objects.filter(pk=vote.pk).update(withdrawn_at=clock.now())
    review.move_to(ReviewState.OPEN, settles_at=None, decided_by=None)
    if review.tier == Tier.FAST_TRACK:
        # Its clock was stopped by the vote; a second thought deserves people.
        to_full_review(review)
    else:
        _ask_stage(review)
    record(
        "approvals.review.taken_back",
        actor=Actor.person(voter),
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=case.pk,
        before={"verdict": vote.verdict},
        reason="Taken back within the undo window.",
    )
    return review


def object_to(review_id: int, *, by: User, text: str) -> Review:
    """Stop a case that would leave by itself: from now on people decide it. Raises AlreadyDecided, SelfApproval …"""
    with kept_when_late(review_id, by=by, wanted="objection"), transaction.atomic():
        case, review = locked_review(review_id)
        refuse_if_decided(review)
        if review.tier != Tier.FAST_TRACK:
            raise AlreadyDecided("Somebody has already objected: it waits for a full review.")
        if not voters.holds_right(by, review.organization_id):
            raise SelfApproval("Your role does not allow you to object.")
        to_full_review(review)
        record(
            "approvals.review.objected",
            actor=Actor.person(by),
            organization_id=review.organization_id,
            subject=("review", review.pk),
            case_id=case.pk,
            before={"tier": Tier.FAST_TRACK},
            after={"tier": Tier.FULL_REVIEW},
            reason=text.strip() or "Objected without a comment.",
        )
        crashpoint("objection.before_commit")
        transaction.on_commit(lambda: crashpoint("objection.after_commit"))
        return review


def to_full_review(review: Review) -> None:
    """Ask the full-review stages instead of the objection window; the caller holds the locks."""
    # Where nobody set the tier up, it has no stage: the review is blocked, and does not leave all the same.
    settings, _ = TierSettings.objects.get_or_create(organization_id=review.organization_id, tier=Tier.FULL_REVIEW)
    # Votes were about letting it leave, by the team that was told.
    review.votes.filter(withdrawn_at=None).update(withdrawn_at=clock.now())
    review.tier, review.settings, review.stage, review.objection_ends_at = Tier.FULL_REVIEW, settings, 0, None
    review.save(update_fields=["tier", "settings", "stage", "objection_ends_at"])
    # What broke before was about letting it leave.
    review.setbacks.all().delete()
    rungs.begin(review)
    opening.assign(review)
    opening.say_standing(review)


@transaction.atomic
def reassign(review_id: int, *, to: User | Team, by: User) -> Review:
    """Give an open review to somebody else who may vote on it, or to whoever in a team may and is the least busy.

    Raises AlreadyDecided, NotAVoter, SelfApproval and the like.
    """
    case, review = locked_review(review_id)
    refuse_if_decided(review)
    if isinstance(to, Team):
        to = _anybody_of(to, review)
    voters.check_voter(review, voters.stage_of(review), to)
    before = str(review.assignee or "nobody")
    review.assignee, review.assigned_at = to, clock.now()
    review.save(update_fields=["assignee", "assigned_at"])
    # Somebody has it: giving it out is no longer wanted.
    review.setbacks.filter(timer=Timer.GIVE).delete()
    claims.end(review)
    opening.say_standing(review)
    record(
        "approvals.review.reassigned",
        actor=Actor.person(by),
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=case.pk,
        before={"assignee": before},
        after={"assignee": str(to)},
        reason=f"{by} gave it to {to}.",
    )
    return review


def _anybody_of(team: Team, review: Review) -> User:
    if team.organization_id != review.organization_id:
        raise NotAVoter("There is no such team.")
    able = voters.eligible(review, voters.stage_of(review))
    members = set(team.members.values_list("pk", flat=True))
    found = next((user for user in able if user.pk in members), None)
    if found is None:
        raise NotAVoter(f"Nobody in {team} may vote on this case now.")
    return found


@transaction.atomic
def escalate(review_id: int, *, by: User, text: str) -> Review:
    """Put an open review before the managers. Raises AlreadyDecided."""
    case, review = locked_review(review_id)
    refuse_if_decided(review)
    review.escalated_at = review.escalated_at or clock.now()
    review.save(update_fields=["escalated_at"])
    record(
        "approvals.review.escalated",
        actor=Actor.person(by),
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=case.pk,
        reason=text.strip() or "Escalated without a comment.",
    )
    return review


def void_open(case: Case, reason: str) -> None:
    """Close every review of a case whose content changed or which was withdrawn; the caller holds the case's lock."""
    for review in Review.objects.locked().filter(case=case).exclude(state__in=REVIEW_FINAL):
        review.move_to(ReviewState.VOID, closed_at=clock.now(), objection_ends_at=None, settles_at=None)
        for question in Question.objects.locked().filter(review=review, state=QuestionState.OPEN):
            question.move_to(QuestionState.WITHDRAWN, closed_at=clock.now())
        record(
            "approvals.review.voided",
            actor=Actor.desk("approvals"),
            organization_id=case.organization_id,
            subject=("review", review.pk),
            case_id=case.pk,
            reason=reason,
        )
