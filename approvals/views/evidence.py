"""Everything the desk knows about one case, read afresh for each page."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.shortcuts import get_object_or_404

from accounts.models import Membership
from approvals import second_opinions
from approvals.grants import least_of
from approvals.models import Comment, Question, Review, Vote
from approvals.states import QuestionState, ReviewState
from approvals.views import story
from approvals.views.goods import Goods, goods_of
from approvals.views.grounds import Grounds, grounds_of
from approvals.views.sent import Sent, sent_of
from auditlog.models import Entry
from integrations.models import Action, Payment, Reversal
from integrations.operations import Operation, operation_of
from integrations.reversing import services as reversing
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from opsdesk.lib.wording import span, visible
from workflows import facts as catalogue
from workflows.engine.definitions import StepDefinition, definition_of
from workflows.models import Case, Correction, Decision, FailureItem, Run
from workflows.states import CaseState

# The newest entries stand on the page; a case that needs more is read in the audit log.
MOST_ENTRIES = 60
MOST_COMMENTS = 100
_AT_ONCE = 8


@dataclass
class CaseFile:
    """One case as its page shows it. What follows from the rows is computed here, not in the templates."""

    case: Case
    review: Review | None
    run: Run | None
    entries: Sequence[Entry]

    @cached_property
    def decision(self) -> Decision | None:
        """The decision in force: what the review asks about, or the newest."""
        if self.review is not None and self.review.state != ReviewState.VOID:
            return self.review.decision
        return Decision.objects.filter(case=self.case).select_related("rule_set__workflow").first()

    @cached_property
    def payment(self) -> Payment | None:
        """The payment the money would go back to, as its gateway was read last."""
        if not self.case.target:
            return None
        mirrored = Payment.objects.filter(organization_id=self.case.organization_id, reference=self.case.target)
        return mirrored.select_related("connection").first()

    @property
    def facts(self) -> dict[str, Any]:
        return self.run.facts if self.run is not None else {}

    @property
    def currency(self) -> str:
        """The currency of amounts among the facts."""
        return self.payment.currency if self.payment is not None else self.case.currency

    def _money(self, fact: str) -> Money | None:
        minor = catalogue.value_of(self.facts, fact)
        return Money(minor, self.currency) if isinstance(minor, int) and self.currency else None

    @property
    def captured(self) -> Money | None:
        return self._money("payment.captured")

    @property
    def refunded(self) -> Money | None:
        return self._money("payment.refunded")

    @cached_property
    def approved(self) -> Money | None:
        """What the votes that stand are for, where that is less than what is asked."""
        if self.review is None or self.review.state == ReviewState.VOID:
            return None
        counting = [vote for vote in self.votes if vote.review_id == self.review.pk and vote.withdrawn_at is None]
        least = least_of(counting)
        return Money(least, self.case.currency) if least is not None else None

    @property
    def approved_note(self) -> str:
        return f"of {self.case.amount} asked" if self.approved else self.share

    @property
    def offered(self) -> Money | None:
        """What the next approval would be for: no more than those before it."""
        return self.approved or self.case.amount

    @property
    def shortfall(self) -> str:
        """Why the gateway would refuse what is asked, as far as the facts tell; nothing when it would not."""
        asked, captured, refunded = self.offered, self.captured, self.refunded
        if asked is None or captured is None or refunded is None:
            return ""
        if asked.currency != captured.currency:
            return f"The payment is in {captured.currency}, {asked} is asked: the refund would be refused."
        left = captured - refunded
        return "" if asked <= left else f"Only {left} of the payment is left: the refund would be refused."

    @property
    def captured_note(self) -> str:
        return ", ".join(filter(None, [self.currency, visible(self.case.target, at_most=40)]))

    @property
    def refunded_note(self) -> str:
        """How old the gateway's answer is."""
        at = self.grounds.read_at
        return f"read {span(clock.now() - at)} ago" if at is not None and self.refunded is not None else ""

    @property
    def share(self) -> str:
        """How much of the order is asked, in words."""
        part = catalogue.value_of(self.facts, "order.share")
        return f"{catalogue.in_words('order.share', part, '')} of the order" if part is not None else ""

    @cached_property
    def grounds(self) -> Grounds:
        return grounds_of(
            self.facts, self.decision, currency=self.currency, differences=story.differences_in(self.entries)
        )

    @property
    def edition(self) -> str:
        """Which rules and thresholds decided."""
        if self.decision is None:
            return ""
        return ", ".join(filter(None, [str(self.decision.rule_set or ""), self.decision.policy]))

    @cached_property
    def goods(self) -> Goods:
        return goods_of(self.case)

    @cached_property
    def happenings(self) -> list[story.Happening]:
        return story.happenings(self.entries, said_elsewhere=self.decision.sentence if self.decision else "")

    @property
    def newest(self) -> list[story.Happening]:
        return self.happenings[:_AT_ONCE]

    @property
    def older(self) -> list[story.Happening]:
        return self.happenings[_AT_ONCE:]

    @property
    def dated(self) -> bool:
        return story.dated(self.happenings)

    @property
    def stamp(self) -> int:
        """Grows with everything that happens to the case."""
        return self.entries[0].pk if self.entries else 0

    @cached_property
    def actions(self) -> list[Action]:
        return list(Action.objects.filter(case=self.case).select_related("connection", "payment"))

    @cached_property
    def sent(self) -> list[Sent]:
        """The actions, each with the tone of its state, and how it could be taken back."""
        return sent_of(self.case, self.actions)

    @cached_property
    def reversal(self) -> Reversal | None:
        """What the case takes back; only cases of that kind do."""
        return reversing.of_case(self.case) if self.case.kind == reversing.KIND else None

    @cached_property
    def counter(self) -> Operation | None:
        """What the case does outside once it is approved, as it is declared."""
        if self.reversal is not None:
            return operation_of(self.reversal.connection, self.reversal.operation)
        step = self._acting_step
        if step is None or self.payment is None:
            return None
        return operation_of(self.payment.connection, str(step.config.get("operation", "")))

    @property
    def in_doubt(self) -> Action | None:
        """An action of which nobody can say yet whether it had its effect."""
        doubtful = [action for action in self.actions if action.state == ActionState.UNKNOWN]
        return doubtful[0] if doubtful else None

    @property
    def doubt_words(self) -> str:
        return f"{self.in_doubt.amount} may or may not have left." if self.in_doubt else ""

    @cached_property
    def votes(self) -> list[Vote]:
        votes = Vote.objects.filter(review__case=self.case).select_related(
            "voter", "reason_code", "review__case", "absence__user"
        )
        return list(votes.order_by("-pk"))

    @cached_property
    def questions(self) -> list[Question]:
        """What the requester was asked, the newest first."""
        return list(Question.objects.filter(case=self.case).select_related("asked_by").order_by("-pk"))

    @property
    def question(self) -> Question | None:
        """The question that the case waits for."""
        return next((question for question in self.questions if question.state == QuestionState.OPEN), None)

    @cached_property
    def conversation(self) -> list[story.Said]:
        """What was said about the case, the first first."""
        comments = Comment.objects.filter(case=self.case).select_related("author").order_by("-pk")[:MOST_COMMENTS]
        return story.conversation(self.questions, comments)

    @cached_property
    def corrections(self) -> list[tuple[Correction, list[dict[str, Any]]]]:
        made = Correction.objects.filter(case=self.case).select_related("user").order_by("-pk")
        return [(each, story.changes_in(each)) for each in made]

    @cached_property
    def failure(self) -> FailureItem | None:
        """What stopped the run, while it is stopped."""
        if self.case.state != CaseState.FAILED or self.run is None:
            return None
        return FailureItem.objects.filter(run=self.run, repaired_at=None).select_related("failure").first()

    @property
    def order(self) -> str:
        """The order the request names, as it was given."""
        return self.goods.order

    @property
    def carries_out(self) -> str:
        """Through which connection the money would go."""
        if self.payment is not None:
            return self.payment.connection.name
        step = self._acting_step
        return str(step.config.get("connection", "")) if step is not None else ""

    @property
    def _acting_step(self) -> StepDefinition | None:
        """The step that does something outside."""
        steps = definition_of(self.run.version_id).steps if self.run is not None else ()
        return next((step for step in steps if step.kind == "act"), None)


def open_file(membership: Membership, case_id: int) -> CaseFile:
    """The file of a case this member may see; 404 for every other, 403 while a second opinion on it is owed."""
    owed = second_opinions.waiting_for(membership, case_id)
    if owed is not None:
        raise second_opinions.StillBlind(owed)
    visible = Case.objects.visible_to(membership).select_related("requested_by_user")
    case = get_object_or_404(visible, pk=case_id)
    review = (
        Review.objects.visible_to(membership)
        .filter(case_id=case.pk)
        .select_related("run", "settings", "decision__rule_set__workflow", "assignee", "decided_by")
        .order_by("-pk")
        .first()
    )
    if review is not None:
        review.case = case
        run: Run | None = review.run
    else:
        run = Run.objects.visible_to(membership).filter(case_id=case.pk).order_by("-pk").first()
    entries = Entry.objects.visible_to(membership).filter(case_id=case.pk)
    return CaseFile(case, review, run, list(entries.order_by("-pk")[:MOST_ENTRIES]))
