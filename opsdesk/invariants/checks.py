"""The invariants, one function each: how many rows were looked at, and sentences about those that break the rule."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Now

from approvals import terms
from approvals.grants import least_of
from approvals.models import Review, Vote
from approvals.states import REVIEW_FINAL, ReviewState, Verdict
from approvals.voters import involved_in
from auditlog.models import Entry
from integrations.models import Action, Call, Connection, Endpoint, Notice, Payment, Refund, Reversal
from integrations.operations import taking_back
from integrations.secrets import decrypt
from integrations.states import ActionState, ReversalState, Way
from opsdesk.lib.money import Money
from workflows.models import Authorization, Case, Event, Failure, FailureItem, Run
from workflows.states import CASE_FINAL, RUN_ACTIVE, EventState, RunState, Tier, WaitsFor

# Longer than a lease and a sweep together: whatever is older than this should have been looked at.
_PATIENCE = timedelta(seconds=60)
# More would only fill the screen.
_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What one invariant found; it holds when something was looked at and nothing is wrong."""

    name: str
    rule: str
    population: int
    wrong: Sequence[str]

    @property
    def holds(self) -> bool:
        return self.population > 0 and not self.wrong


Effects = Sequence[Mapping[str, Any]]
Check = Callable[[Effects | None], tuple[int, list[str]]]
_checks: list[tuple[str, str, Check]] = []


def _invariant(name: str, rule: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        _checks.append((name, rule, check))
        return check

    return add


def check_all(effects: Effects | None = None, *, only: Collection[str] = ()) -> Iterator[Finding]:
    """Ask every invariant, or only those named; `effects` is the gateway's effect log, where there is one to be had.

    One effect: kind, refund, amount (minor units), currency, idempotency_key.
    """
    for name, rule, check in _checks:
        if only and name not in only:
            continue
        population, wrong = check(effects)
        yield Finding(name, rule, population, wrong[:_MOST_SHOWN])


@_invariant("I1", "Every event is processed, ignored with a reason, or quarantined within a minute.")
def _events(effects: Effects | None) -> tuple[int, list[str]]:
    late = Event.objects.filter(state=EventState.RECEIVED, received_at__lt=Now() - _PATIENCE)
    return Event.objects.count(), [f"{event} still lies there." for event in late.only("pk", "source")[:_MOST_SHOWN]]


@_invariant("I2", "One row per source and key; one case per reference.")
def _once(effects: Effects | None) -> tuple[int, list[str]]:
    events = Event.objects.values("source", "dedupe_key").annotate(rows=Count("pk")).filter(rows__gt=1)
    keys = Case.objects.values("organization", "kind", "key").annotate(rows=Count("pk")).filter(rows__gt=1)
    return Event.objects.count(), [f"{row} stands there more than once." for row in [*events, *keys]]


@_invariant("I3", "Every run has ended, is due, is leased, or waits for somebody who can answer.")
def _runs(effects: Effects | None) -> tuple[int, list[str]]:
    stuck = Run.objects.filter(state=RunState.RUNNING, lease_until__lt=Now() - _PATIENCE)
    silent = Run.objects.filter(state=RunState.WAITING, wake_at=None)
    for_review = silent.filter(waits_for=WaitsFor.REVIEW).exclude(
        pk__in=Review.objects.exclude(state__in=REVIEW_FINAL).values("run")
    )
    # An action that is held waits for its connection, and its run with it.
    for_action = silent.filter(waits_for__in=[WaitsFor.ACTION, WaitsFor.CONNECTION]).exclude(
        pk__in=Action.objects.filter(due_at__isnull=False).values("run")
    )
    in_turn = Run.objects.filter(
        workflow=OuterRef("workflow"), concurrency_key=OuterRef("concurrency_key"), in_turn=True, state__in=RUN_ACTIVE
    )
    for_no_turn = silent.filter(
        ~Exists(in_turn), waits_for=WaitsFor.TURN, paused_at=None, waiting_since__lt=Now() - _PATIENCE
    )
    for_somebody = [WaitsFor.REVIEW, WaitsFor.ACTION, WaitsFor.CONNECTION, WaitsFor.TURN]
    for_nobody = silent.exclude(waits_for__in=for_somebody)
    overdue = Run.objects.filter(
        state__in=[RunState.READY, RunState.WAITING],
        paused_at=None,
        wake_at__lt=Now() - _PATIENCE,
        workflow__enabled=True,
    )
    without = Case.objects.exclude(state__in=CASE_FINAL).exclude(
        pk__in=Run.objects.filter(Q(state__in=RUN_ACTIVE) | Q(state=RunState.FAILED)).values("case")
    )
    wrong = [
        f"{row} of CASE-{row.case_id} is {row.state} and nothing will move it."
        for rows in (stuck, for_review, for_action, for_no_turn, for_nobody, overdue)
        for row in rows[:_MOST_SHOWN]
    ]
    return Run.objects.count(), wrong + [f"{case} is open and has no run." for case in without[:_MOST_SHOWN]]


@_invariant("I4", "No payment has more reserved and refunded than was captured, and the sums are those of their parts.")
def _payments(effects: Effects | None) -> tuple[int, list[str]]:
    touched = Payment.objects.filter(Q(actions__isnull=False) | Q(refunds__isnull=False)).distinct()
    wrong = [
        f"Payment {row} is over: {row.reserved_minor} + {row.refunded_minor} of {row.captured_minor}."
        for row in touched.filter(captured_minor__lt=F("reserved_minor") + F("refunded_minor"))
    ]
    held = dict(
        Action.objects.filter(holds_reservation=True)
        .values_list("payment")
        .annotate(total=Sum("amount_minor"))
        .values_list("payment", "total")
    )
    # Asked apart: joined to the actions as well, every refund would count once an action.
    parts = dict(
        Refund.objects.exclude(status=Refund.Status.FAILED)
        .values_list("payment")
        .annotate(total=Sum("amount_minor"))
        .values_list("payment", "total")
    )
    for payment in touched.iterator():
        if payment.reserved_minor != held.get(payment.pk, 0):
            wrong.append(f"Payment {payment} holds {payment.reserved_minor}, its actions {held.get(payment.pk, 0)}.")
        if payment.refunded_minor != parts.get(payment.pk, 0):
            wrong.append(
                f"Payment {payment} says {payment.refunded_minor} went back, its refunds {parts.get(payment.pk, 0)}."
            )
    return touched.count(), wrong


@_invariant("I5", "An intent has at most one effect at the gateway, a verified one exactly one, of its amount.")
def _effects(effects: Effects | None) -> tuple[int, list[str]]:
    actions = {str(action.key): action for action in Action.objects.filter(moves_money=True)}
    if effects is None:
        return len(actions), []
    by_key: dict[str, list[Mapping[str, Any]]] = {}
    for effect in effects:
        if effect["kind"] == "refund":
            by_key.setdefault(str(effect["idempotency_key"]), []).append(effect)
    wrong = [f"Key {key} had {len(rows)} effects." for key, rows in by_key.items() if len(rows) > 1 and key in actions]
    for key, action in actions.items():
        rows = by_key.get(key, [])
        if action.state == ActionState.VERIFIED and [row["amount"] for row in rows] != [action.amount_minor]:
            wrong.append(f"{action} is verified; the gateway's effects are {[row['amount'] for row in rows]}.")
        if action.state == ActionState.FAILED and rows:
            wrong.append(f"{action} counts as failed and had an effect.")
    return len(actions), wrong


@_invariant("I7", "At most one verdict a review, nobody's own request, and what was approved is what was done.")
def _reviews(effects: Effects | None) -> tuple[int, list[str]]:
    wrong: list[str] = []
    closed = Review.objects.filter(state__in=[ReviewState.APPROVED, ReviewState.REJECTED]).select_related("case")
    for review in closed.prefetch_related("votes").iterator(chunk_size=500):
        votes = [vote for vote in review.votes.all() if vote.withdrawn_at is None]
        if {vote.person_key for vote in votes} & involved_in(review):
            wrong.append(f"{review}: somebody who was involved voted.")
        if any(vote.content_hash != review.content_hash for vote in votes):
            wrong.append(f"{review}: a vote was about other content.")
        if review.state == ReviewState.APPROVED and any(vote.verdict == Verdict.REJECT for vote in votes):
            wrong.append(f"{review} is approved against a standing rejection.")
    grants = Authorization.objects.exclude(content_hash=F("decision__content_hash")).select_related("case")
    others = [grant for grant in grants.iterator(chunk_size=500) if not _approved_less(grant)]
    return closed.count(), wrong + [f"{grant} is not what was decided." for grant in others[:_MOST_SHOWN]]


def _approved_less(grant: Authorization) -> bool:
    """Whether people approved just this amount, less than what was asked: its hash is over that."""
    votes = Vote.objects.filter(
        review__decision=grant.decision_id, review__state=ReviewState.APPROVED, verdict=Verdict.APPROVE,
        withdrawn_at=None,
    )  # fmt: skip
    return grant.source == Authorization.Source.PEOPLE and least_of(votes) == grant.amount_minor


@_invariant("I8", "Every state that was reached left an entry.")
def _entries(effects: Effects | None) -> tuple[int, list[str]]:
    def subjects(kind: str, *verbs: str) -> set[int]:
        return set(Entry.objects.filter(subject_kind=kind, verb__in=verbs).values_list("subject_id", flat=True))

    reached: list[tuple[str, set[int], set[int]]] = [
        ("case", set(Case.objects.values_list("pk", flat=True)), subjects("case", "workflows.case.opened")),
        (
            "case",
            set(Case.objects.filter(state__in=CASE_FINAL).values_list("pk", flat=True)),
            subjects("case", "workflows.case.finished", "workflows.case.withdrawn"),
        ),
        (
            "authorization",
            set(Authorization.objects.values_list("pk", flat=True)),
            subjects("authorization", "approvals.authorization.granted"),
        ),
        (
            "review",
            set(Review.objects.filter(state__in=REVIEW_FINAL).values_list("pk", flat=True)),
            subjects("review", "approvals.review.approved", "approvals.review.rejected", "approvals.review.voided"),
        ),
        (
            "action",
            set(Action.objects.filter(state=ActionState.VERIFIED).values_list("pk", flat=True)),
            subjects("action", "integrations.action.verified"),
        ),
    ]
    wrong = [f"{kind} {pk} has no entry." for kind, there, told in reached for pk in sorted(there - told)]
    return sum(len(there) for _, there, _ in reached), wrong


@_invariant("I9", "No notice lies unsent for more than a minute after it was due.")
def _notices(effects: Effects | None) -> tuple[int, list[str]]:
    late = Notice.objects.waiting().filter(due_at__lt=Now() - _PATIENCE)
    return Notice.objects.count(), [f"Notice {notice.pk} ({notice}) lies there." for notice in late[:_MOST_SHOWN]]


@_invariant("I10", "No money moved without the consent that its tier asks for.")
def _consent(effects: Effects | None) -> tuple[int, list[str]]:
    wrong: list[str] = []
    grants = Authorization.objects.select_related("decision", "case")
    for grant in grants.iterator(chunk_size=500):
        reviews = list(Review.objects.filter(decision_id=grant.decision_id, state=ReviewState.APPROVED))
        if grant.source == Authorization.Source.RULE:
            if grant.decision.tier != Tier.INSTANT:
                wrong.append(f"{grant}: rules granted what asks for {grant.decision.tier}.")
        elif len(reviews) != 1:
            wrong.append(f"{grant} has {len(reviews)} approved reviews behind it.")
        elif grant.source == Authorization.Source.OBJECTION_WINDOW:
            if reviews[0].tier != Tier.FAST_TRACK or reviews[0].objection_ends_at is None:
                wrong.append(f"{grant} left without an objection window.")
        else:
            wrong += _missing_votes(grant, reviews[0])
            least = least_of(reviews[0].votes.filter(verdict=Verdict.APPROVE, withdrawn_at=None))
            if least is not None and grant.amount_minor != least:
                wrong.append(f"{grant}: people approved {Money(least, grant.currency)}.")
    bare = Action.objects.filter(
        Q(authorization__amount_minor__lt=F("amount_minor")) | ~Q(authorization__case=F("case")), moves_money=True
    )
    return grants.count(), wrong + [f"{action} is not covered by its authorization." for action in bare[:_MOST_SHOWN]]


def _missing_votes(grant: Authorization, review: Review) -> list[str]:
    wrong = []
    for position, stage in enumerate(terms.stages_of(review)):
        votes = review.votes.filter(stage=position, verdict=Verdict.APPROVE, withdrawn_at=None)
        if votes.values("person_key").distinct().count() < stage.needed:
            wrong.append(f"{grant}: stage {position} asks for {stage.needed} people.")
    return wrong


@_invariant("I11", "What takes something back names its original, has consent of its own, and is the only one of it.")
def _reversals(effects: Effects | None) -> tuple[int, list[str]]:
    acting = Action.objects.filter(operation__in=[each.name for each in taking_back()])
    wrong = [f"{action} names no original." for action in acting.filter(reverses=None)[:_MOST_SHOWN]]
    standing = Reversal.objects.standing()
    twice = standing.values("original").annotate(rows=Count("pk")).filter(rows__gt=1)
    wrong += [f"Action {row['original']} is taken back {row['rows']} times." for row in twice[:_MOST_SHOWN]]
    strange = Reversal.objects.filter(
        Q(original__case=F("case"))
        | ~Q(original__organization=F("organization"))
        | (Q(action__isnull=False) & (~Q(action__case=F("case")) | ~Q(authorization__case=F("case"))))
        | Q(original__operation__in=[each.name for each in taking_back()])
    )
    wrong += [f"{row}: original, action and consent do not belong together." for row in strange[:_MOST_SHOWN]]
    unseen = Reversal.objects.filter(state=ReversalState.DONE, way=Way.TAKE_BACK)
    unseen = unseen.exclude(action__state=ActionState.VERIFIED)
    wrong += [f"{row} counts as done and was not verified." for row in unseen[:_MOST_SHOWN]]
    return Action.objects.count(), wrong


@_invariant("I12", "No secret of a connection or an endpoint stands in the log, in a call or in a failure.")
def _secrets(effects: Effects | None) -> tuple[int, list[str]]:
    stored = [*Connection.objects.values_list("secret", flat=True)]
    for column in ("secret", "old_secret"):
        stored += Endpoint.objects.values_list(column, flat=True)
    secrets = {settings.SECRET_KEY, *(decrypt(secret) for secret in stored if secret)}
    looked_through: list[tuple[str, QuerySet[Any], tuple[str, ...]]] = [
        ("An audit entry", Entry.objects.all(), ("reason", "before", "after")),
        ("A logged call", Call.objects.all(), ("message", "path")),
        ("A failure", Failure.objects.all(), ("message",)),
        ("A stopped run", FailureItem.objects.all(), ("detail",)),
    ]
    wrong = []
    for secret in sorted(secrets):
        for what, rows, names in looked_through:
            holds_it = Q()
            for name in names:
                holds_it |= Q(**{f"{name}__icontains": secret})
            if rows.filter(holds_it).exists():
                wrong.append(f"{what} holds a secret.")
    return sum(rows.count() for _, rows, _ in looked_through), wrong
