"""Deciding many cases in one go: each is a vote of its own, with every check a single one has, and its own entry."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import Count, QuerySet, Sum
from django.http import QueryDict

from accounts.models import User
from accounts.roles import Permission
from approvals import terms, voters
from approvals.errors import NotTogether
from approvals.models import ReasonCode, Review
from approvals.services import Rationale, decide
from approvals.stages import AskedStage
from approvals.states import ReviewState, Verdict
from opsdesk.lib.errors import DomainError
from opsdesk.lib.money import Money
from opsdesk.lib.requests import OpsRequest
from workflows.bulk.registry import Kind, Subject, add_kind
from workflows.forms import BulkForm
from workflows.models import Bulk, BulkItem, Case


@dataclass(frozen=True, slots=True)
class Row:
    """A case as the preview looks at it: its review, and how many one bulk may decide of that tier."""

    case: Case
    review: Review | None

    @property
    def stages(self) -> int:
        """How many stages decide it."""
        return len(terms.stages_of(self.review)) if self.review is not None else 0


def _visible(request: OpsRequest) -> QuerySet[Case]:
    return Case.objects.visible_to(request.membership).filter(reviews__state=ReviewState.OPEN)


def _matching(request: OpsRequest, query: QueryDict) -> QuerySet[Case]:
    """Decisions are chosen case by case: a filter says nothing about what was looked at."""
    return Case.objects.none()


def _chosen(request: OpsRequest, keys: list[int]) -> QuerySet[Case]:
    return _visible(request).filter(pk__in=keys).distinct()


def _load(keys: list[int]) -> Mapping[int, Row]:
    reviews = Review.objects.open().filter(case_id__in=keys).select_related("case", "settings", "run")
    open_by_case = {review.case_id: review for review in reviews}
    found = Case.objects.in_bulk(keys)
    return {key: Row(case, open_by_case.get(key)) for key, case in found.items()}


def _words(row: Row) -> str:
    amount = f", {row.case.amount}" if row.case.amount else ", no amount"
    return f"{row.case.key}, {row.case.who}{amount}"


CASES = Subject(
    name="cases",
    matching=_matching,
    chosen=_chosen,
    load=_load,
    of_cases=lambda cases: cases,
    words=_words,
    label="CASE-{pk}",
    url_name="approvals:case",
    list_url_name="approvals:several",
)


def _why_not(row: Row) -> str:
    """For the preview, which does not know who will start it: what each item refuses for everybody."""
    review = row.review
    if review is None:
        return "It is no longer open."
    if review.blocked_reason:
        return review.blocked_reason
    if review.content_hash != row.case.content_hash(review.run.facts):
        return "It changed since it was opened for review."
    return _too_high(review, row.stages)


def _too_high(review: Review, stages: int) -> str:
    if not review.settings.bulk_most:
        return f"The tier {review.settings} is decided one by one."
    return "Several stages decide it, so it is looked at one by one." if stages != 1 else ""


class DecideForm(BulkForm):
    """The reason code that goes for all of them, beside the sentence."""

    code = forms.TypedChoiceField(coerce=int, label="Reason")
    verdict = Verdict.APPROVE

    def __init__(self, *args: Any, bulk: Bulk, **kwargs: Any) -> None:
        super().__init__(*args, bulk=bulk, **kwargs)
        codes = ReasonCode.objects.filter(organization_id=bulk.organization_id, verdict=self.verdict, enabled=True)
        self.fields["code"].choices = [(code.pk, code.label) for code in codes]  # type: ignore[attr-defined]
        self.fields["reason"].label = "Rationale"


class RejectForm(DecideForm):
    """The same for rejections."""

    verdict = Verdict.REJECT


def _perform(verdict: Verdict, case_id: int, by: User, reason: str, parameters: Mapping[str, Any]) -> str:
    review = Review.objects.open().filter(case_id=case_id).select_related("settings", "case").first()
    if review is None:
        raise NotTogether("It is no longer open.")
    _check_cap(review, parameters["bulk"])
    code = ReasonCode.objects.get(pk=parameters["code"], organization_id=review.organization_id)
    done = decide(
        review.pk,
        voter=by,
        verdict=verdict,
        rationale=Rationale(code, reason),
        seen=parameters["stamp"],
        bulk_id=parameters["bulk"],
    )
    if done.state == ReviewState.OPEN:
        return "Your vote is cast; it needs another."
    return f"{'Approved' if verdict == Verdict.APPROVE else 'Rejected'}, {done.case.amount or 'no amount'}."


def _check_cap(review: Review, bulk_id: int) -> None:
    """Refuse what is decided one by one, and what is more of a tier than one bulk may decide."""
    refused = _too_high(review, len(terms.stages_of(review)))
    if refused:
        raise NotTogether(refused)
    done = BulkItem.objects.filter(bulk_id=bulk_id, result=BulkItem.Result.DONE).values("subject_id")
    decided = Review.objects.filter(case_id__in=done, settings=review.settings_id).values("case").distinct().count()
    if decided >= review.settings.bulk_most:
        raise NotTogether(f"One bulk decides at most {review.settings.bulk_most} of the tier {review.settings}.")


def _approve(case_id: int, by: User, reason: str, parameters: Mapping[str, Any]) -> str:
    return _perform(Verdict.APPROVE, case_id, by, reason, parameters)


def _reject(case_id: int, by: User, reason: str, parameters: Mapping[str, Any]) -> str:
    return _perform(Verdict.REJECT, case_id, by, reason, parameters)


def _stamps(keys: list[int]) -> Mapping[int, str]:
    """The content that was looked at when the cases were chosen."""
    return dict(Review.objects.open().filter(case_id__in=keys).values_list("case_id", "content_hash"))


def _totals(bulk: Bulk) -> list[tuple[str, int, int]]:
    """Currency, minor units and number of cases, a currency each."""
    chosen = Case.objects.filter(pk__in=bulk.items.values("subject_id")).exclude(amount_minor=None).order_by("currency")
    return list(chosen.values_list("currency").annotate(minor=Sum("amount_minor"), cases=Count("pk")))


def _lets_go(bulk: Bulk) -> Mapping[str, int]:
    """All that approving lets go."""
    return {currency: minor for currency, minor, _ in _totals(bulk)}


def _nothing(bulk: Bulk) -> Mapping[str, int]:
    """What rejecting lets go."""
    return {}


def _sums(bulk: Bulk) -> list[str]:
    """How much it is, a currency each, and what one bulk may decide of each tier."""
    said = [f"{Money(minor, name)} in {cases} case{'s' * (cases != 1)}." for name, minor, cases in _totals(bulk)]
    reviews = Review.objects.open().filter(case_id__in=bulk.items.values("subject_id")).select_related("settings")
    tiers = Counter(review.settings for review in reviews)
    return said + [
        f"{count} of the tier {tier}; one bulk decides at most {tier.bulk_most} of it: the others are refused."
        for tier, count in tiers.items()
        if count > tier.bulk_most > 0
    ]


def register() -> None:
    """Add both verdicts."""
    for name, icon, words, perform, form, lets_go in (
        ("approve", "check", "Each gets your vote, for the same reason.", _approve, DecideForm, _lets_go),
        ("reject", "x", "Each is rejected, for the same reason.", _reject, RejectForm, _nothing),
    ):
        add_kind(
            Kind(
                name=f"cases.{name}",
                subject=CASES,
                label=name.capitalize(),
                icon=icon,
                words=words,
                permission=Permission.DECIDE,
                why_not=_why_not,
                perform=perform,
                form=form,
                notes=_sums,
                notes_title="Altogether",
                stamps=_stamps,
                lets_go=lets_go,
                door=Permission.DECIDE,
            )
        )


def why_not_each(user: User, reviews: Sequence[Review]) -> list[str]:
    """Why this person could not decide each case of the list together with others; "" when they could."""
    if not reviews:
        return []
    stages, ground = terms.stages_of_each(reviews), voters.Ground(user, reviews)
    return [_why_not_by(user, review, stages[review.pk], ground) for review in reviews]


def _why_not_by(user: User, review: Review, stages: Sequence[AskedStage], ground: voters.Ground) -> str:
    refused = _too_high(review, len(stages)) or review.blocked_reason
    if refused:
        return refused
    try:
        voters.check_voter(review, stages[review.stage], user, ground)
    except DomainError as refusal:
        return str(refusal)
    return ""
