"""What the person who looks at a case may do with it, and why not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

from django import forms
from django.utils import timezone
from django.utils.dateformat import format as format_date

from accounts.roles import Permission
from approvals import ceilings, claims, terms, voters
from approvals.errors import NothingToRefund
from approvals.forms import CorrectionForm, DecisionForm, RetryForm
from approvals.models import Absence, Claim, ReasonCode, Review
from approvals.stages import AskedStage
from approvals.states import ReviewState, Verdict
from approvals.views.besides import Besides
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from workflows.states import CASE_FINAL, CaseState, RunState

_KEYS = "1234567890"
_SOON = timedelta(hours=1)
_TONES = {CaseState.DONE: "ok", CaseState.FAILED: "danger"}
_UNDONE = {ReviewState.APPROVING: "approved", ReviewState.REJECTING: "rejected"}
_ENDED = {ReviewState.APPROVED: "approved", ReviewState.REJECTED: "rejected"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One reason code as a radio button with its key."""

    value: int
    label: str
    key: str
    checked: bool
    hint: str


@dataclass
class Panel(Besides):
    """The actions of a case for one person. `form` carries what was typed into a refused decision."""

    codes: Sequence[ReasonCode]
    form: DecisionForm | None = None
    refusal: str = ""
    correction: forms.Form | None = None
    retry: forms.Form | None = field(default=None)
    reversing: forms.Form | None = field(default=None)
    # The absence by which this person votes in somebody's place; known once it is known why not.
    stands_in: Absence | None = field(default=None, init=False)

    @cached_property
    def stages(self) -> list[AskedStage]:
        return terms.with_teams({0: self.terms})[0] if self.terms is not None else []

    @cached_property
    def terms(self) -> terms.Terms | None:
        """What the tier asks for beside votes."""
        return terms.of(self.review) if self.review is not None else None

    @cached_property
    def why_not(self) -> str:
        """Why this person may not vote now; nothing when they may."""
        if self.review is None or not self.is_open:
            return "There is nothing to decide."
        if not self.membership.may(Permission.DECIDE):
            return f"Your role ({self.membership.get_role_display()}) does not decide."
        try:
            self.stands_in = voters.check_voter(self.review, self.stages[self.review.stage], self.user)
        except DomainError as refused:
            return str(refused)
        return ""

    @cached_property
    def claim(self) -> Claim | None:
        """Who has it open to decide it, as long as it can be decided."""
        return claims.standing_on(self.review) if self.review is not None and self.is_open else None

    @property
    def holds(self) -> bool:
        """Whether this person has it open."""
        return self.claim is not None and self.claim.holder_id == self.user.pk

    @property
    def held_words(self) -> str:
        """Who else has it open and since when; nothing when nobody has."""
        if self.claim is None or self.claim.holder.same_person_as(self.user):
            return ""
        return f"{claims.in_words(self.claim)}."

    @property
    def may_claim(self) -> bool:
        """Whether it can be taken, from a colleague too."""
        return self.is_open and not self.why_not and not self.is_leaving and not self.holds

    @property
    def stands_in_words(self) -> str:
        """For whom this person would vote, and until when; nothing when they vote in their own place."""
        absence = self.stands_in if self.may_decide else None
        if absence is None:
            return ""
        limit = f", up to {absence.ceiling}" if absence.ceiling else ""
        return f"For {absence.user}, until {format_date(absence.ends_on, 'j M')}{limit}."

    @property
    def may_decide(self) -> bool:
        return self.is_open and not self.why_not and not self.held_words

    @property
    def may_approve(self) -> bool:
        return self.may_decide and not self.why_no_approval

    @cached_property
    def why_no_approval(self) -> str:
        """Why nobody, or not this person, may approve it: there is nothing to refund, or their day is used up."""
        if not self.file.case.target:
            return NothingToRefund.message
        if self.review is None or not self.may_decide:
            return ""
        return ceilings.why_used_up(self.review, self.user, self.file.offered)

    @property
    def may_approve_part(self) -> bool:
        """Whether an amount can be approved: a part may still fit into a day into which the whole does not."""
        return self.may_decide and bool(self.file.case.target)

    @property
    def tier(self) -> str:
        """How much consent is needed now: a review that was objected to asks for more than its decision did."""
        if self.review is not None and self.review.state != ReviewState.VOID:
            return self.review.tier
        return self.file.decision.tier if self.file.decision is not None else ""

    @property
    def due_tone(self) -> str:
        if self.review is None:
            return ""
        left = self.review.due_at - clock.now()
        return "danger" if left < timedelta(0) else "warn" if left < _SOON else ""

    @property
    def state_words(self) -> str:
        case, run = self.file.case, self.file.run
        if case.state == CaseState.OPEN and run is not None and run.state == RunState.WAITING:
            return f"waits for {run.get_waits_for_display()}"
        return "in progress" if case.state == CaseState.OPEN else case.get_state_display().lower()

    @property
    def state_tone(self) -> str:
        return _TONES.get(CaseState(self.file.case.state), "info")

    @property
    def outcome_tone(self) -> str:
        state = self.review.state if self.review is not None else ""
        return {"approving": "ok", "approved": "ok", "rejecting": "warn", "rejected": "warn"}.get(state, "info")

    @property
    def outcome_icon(self) -> str:
        return {"ok": "check", "warn": "x"}.get(self.outcome_tone, "info")

    @property
    def may_act(self) -> bool:
        """Whether there is anything to press, so that the form is shown."""
        return self.may_decide or self.may_escalate or self.may_object

    @property
    def may_snooze(self) -> bool:
        late = self.review is not None and self.review.due_at <= clock.now()
        return self.may_decide and not self.is_leaving and not self.is_asleep and not late

    @property
    def may_ask(self) -> bool:
        """Whether this person may ask the requester: whoever may vote."""
        return self.may_decide

    @property
    def has_more(self) -> bool:
        return self.may_decide or self.may_escalate

    @property
    def may_repair(self) -> bool:
        return self.membership.may(Permission.REPAIR)

    @property
    def watches(self) -> bool:
        """Whether anything can still happen to the case."""
        return self.file.case.state not in CASE_FINAL

    @cached_property
    def votes_words(self) -> str:
        """How far a decision that needs several votes or stages has come; nothing where one vote decides."""
        if self.review is None or not self.stages:
            return ""
        stage = self.stages[self.review.stage]
        if stage.needed == 1 and len(self.stages) == 1:
            return ""
        given = [vote for vote in self.file.votes if vote.review_id == self.review.pk and vote.withdrawn_at is None]
        cast = sum(1 for vote in given if vote.stage == self.review.stage and vote.verdict == Verdict.APPROVE)
        words = f"{cast} of {stage.needed} votes by {stage.names}"
        if len(self.stages) > 1:
            words += f", stage {self.review.stage + 1} of {len(self.stages)}"
        return f"{words}."

    @property
    def may_object(self) -> bool:
        return self.is_leaving and self.membership.may(Permission.DECIDE)

    @property
    def may_escalate(self) -> bool:
        fresh = self.review is not None and self.review.escalated_at is None
        return self.is_open and fresh and self.membership.may(Permission.DECIDE)

    @property
    def may_correct(self) -> bool:
        """Whether the request's data could be put right; money under way must not be touched."""
        run, case = self.file.run, self.file.case
        idle = run is not None and run.state != RunState.RUNNING and run.waits_for != "action"
        idle = idle and self.file.reversal is None  # it says what it takes back, which nobody changes
        return idle and case.state not in CASE_FINAL and self.membership.may(Permission.CORRECT)

    @property
    def needs_correction(self) -> bool:
        """Whether putting the data right is the way on: it failed, or names no payment."""
        case = self.file.case
        return self.may_correct and (case.state == CaseState.FAILED or not case.target)

    @property
    def may_retry(self) -> bool:
        return self.file.case.state == CaseState.FAILED and self.membership.may(Permission.REPAIR)

    @property
    def correction_form(self) -> forms.Form:
        return self.correction or CorrectionForm(case=self.file.case)

    @property
    def retry_form(self) -> forms.Form:
        return self.retry or RetryForm()

    @property
    def moves(self) -> bool:
        """Whether the case goes on without this person, so that the page follows it by itself."""
        asks = self.may_act or self.needs_correction or self.may_retry
        return self.file.case.state not in CASE_FINAL and not asks

    @property
    def tells_standing(self) -> bool:
        """Whether what the case waits for has to be said: this person is not the one it waits for."""
        return self.file.case.state == CaseState.OPEN and not self.may_decide

    @property
    def standing(self) -> str:
        """What the case waits for. The engine says so once it has taken the decision up, which is after the undo."""
        if self.review is not None and ReviewState(self.review.state) in _UNDONE:
            return "The decision takes effect in a moment; until then it can be taken back."
        return self.file.case.standing

    @property
    def hindrance(self) -> str:
        """Why this person has nothing to press, or less than others; nothing to say where they may object."""
        return "" if not self.is_open or self.may_object else self.why_not or self.held_words

    @property
    def outcome(self) -> str:
        """What was decided, by whom and when; nothing while it is open."""
        return outcome_of(self.review) if self.review is not None else ""

    @cached_property
    def approve_choices(self) -> list[Choice]:
        return self._choices(Verdict.APPROVE, 0)

    @cached_property
    def reject_choices(self) -> list[Choice]:
        return self._choices(Verdict.REJECT, len(self.approve_choices))

    def _choices(self, verdict: str, first: int) -> list[Choice]:
        codes = [code for code in self.codes if code.fits(self.file.case.kind, verdict)]
        suggested = next((code for code in codes if self.file.case.reason in code.suggested_for), None)
        typed = self.form.data.get(f"reason_{verdict}") if self.form is not None else None
        chosen = typed if typed is not None else str(suggested.pk) if suggested else ""
        return [
            Choice(
                value=code.pk,
                label=code.label,
                key=_KEYS[place] if place < len(_KEYS) else "",
                checked=str(code.pk) == chosen,
                hint=", ".join(filter(None, ["suggested" if code == suggested else "", _needs(code)])),
            )
            for place, code in enumerate(codes, start=first)
        ]

    @property
    def approve_label(self) -> str:
        return _checked(self.approve_choices)

    @property
    def reject_label(self) -> str:
        return _checked(self.reject_choices)

    @property
    def text_hint(self) -> str:
        """Whether the tier asks for a sentence."""
        if self.terms is not None and self.terms.text_needed:
            return f"at least {self.terms.text_minimum} characters"
        return "optional in this tier"

    @cached_property
    def second_look(self) -> str:
        """Who asks for a second look at the evidence; nothing when nobody does."""
        if self.terms is not None and self.terms.second_look:
            return "asked for in this tier"
        return "asked for by some reasons" if any(code.second_look for code in self.codes) else ""

    @property
    def may_reverse(self) -> bool:
        """Whether this person may ask that something be taken back: it opens a case, which others decide."""
        return self.membership.may(Permission.ASK)

    @property
    def way_back(self) -> list[dict[str, str]]:
        """How long and how far an approval can be taken back, and what what is sent declares about itself."""
        if self.terms is None:
            return []
        declared = self.file.counter
        steps = [
            {"when": f"{self.terms.undo_seconds} s", "how": "undo, nothing leaves"},
            {"when": "until sent", "how": "only switching the connection off holds it"},
        ]
        return steps + ([{"when": "once sent", "how": declared.reversal.in_words}] if declared is not None else [])


def _needs(code: ReasonCode) -> str:
    asks = [*(["text"] if code.text_needed else []), *(["a second look"] if code.second_look else [])]
    return f"needs {' and '.join(asks)}" if asks else ""


def _checked(choices: Sequence[Choice]) -> str:
    return next((choice.label for choice in choices if choice.checked), "choose a reason")


def outcome_of(review: Review) -> str:
    """What became of a review: “Approved by Ada Okafor, 10:42”; nothing while it is open."""
    if review.state == ReviewState.ASKED:
        return "Waits for the requester's answer."
    words = _UNDONE.get(ReviewState(review.state)) or _ENDED.get(ReviewState(review.state))
    if words is None:
        return "The review is no longer needed." if review.state == ReviewState.VOID else ""
    when = _time_of(review)
    if review.decided_by is None:
        return f"{words.capitalize()}: nobody objected, {when}."
    return f"{words.capitalize()} by {review.decided_by}, {when}."


def _time_of(review: Review) -> str:
    # Until it takes effect, only the end of the undo window is stored; it was decided just now.
    now = clock.now()
    local, today = timezone.localtime(min(review.closed_at or now, now)), timezone.localtime(now)
    return format_date(local, "H:i" if local.date() == today.date() else "j M Y, H:i")
