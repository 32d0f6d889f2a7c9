"""Requests and what comes of them: runs, decisions, reviews, votes, intents to move money."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from accounts.models import Organization, User
from approvals.models import ReasonCode, Review, TierSettings, Vote
from approvals.states import ReviewState, Verdict
from approvals.voters import person_key
from integrations.models import (
    Action,
    Connection,
    Payment,
)
from integrations.states import ActionState
from opsdesk.lib import clock
from tests.factories.desks import make_connection, make_reasons, make_tiers, published_version
from tests.factories.numbers import numbers
from workflows.models import (
    Authorization,
    Case,
    Decision,
    Event,
    Run,
    StepRun,
)
from workflows.states import (
    CASE_FINAL,
    RUN_FINAL,
    CaseState,
    EventState,
    RunState,
    Tier,
    WaitsFor,
)


def make_case(
    organization: Organization,
    *,
    amount: str | None = "141.48",
    currency: str = "GBP",
    state: CaseState = CaseState.OPEN,
    **fields: Any,
) -> Case:
    """A request for money back."""
    number = next(numbers)
    fields = {
        "kind": "refund",
        "key": f"C{536_000 + number}",
        "party": f"{17_000 + number}",
        "party_name": f"Customer {number}",
        "target": f"pi_{536_000 + number}",
        "reason": "returned",
        "requested_by": "shop form",
        "requested_at": clock.now(),
        **fields,
    }
    fields.setdefault("data", {"reference": fields["key"], "order": fields["target"].removeprefix("pi_")})
    if state in CASE_FINAL:
        fields.setdefault("closed_at", clock.now())
    return Case.objects.create(
        organization=organization,
        amount_minor=int(Decimal(amount) * 100) if amount is not None else None,
        currency=currency if amount is not None else "",
        state=state,
        **fields,
    )


def make_run(case: Case, *, state: RunState = RunState.READY, **fields: Any) -> Run:
    """A run of the published version. Waiting says for what; running has a lease; ended has an end."""
    version = published_version(case.organization)
    defaults: dict[str, Any] = {"wake_at": clock.now()}
    if state == RunState.WAITING:
        defaults = {"waits_for": WaitsFor.REVIEW, "reason": "Waits for Ada Okafor to decide.", "wake_at": None}
        defaults["waiting_since"] = clock.now()
    elif state == RunState.RUNNING:
        defaults = {"lease_owner": "test:1", "lease_until": clock.now() + timedelta(minutes=1)}
    elif state in RUN_FINAL:
        defaults = {"ended_at": clock.now(), "wake_at": None}
    return Run.objects.create(
        organization_id=case.organization_id,
        workflow=version.workflow,
        version=version,
        case=case,
        state=state,
        **{**defaults, **fields},
    )


def make_step_run(run: Run, key: str, kind: str, outcome: str = "done", **fields: Any) -> StepRun:
    """One attempt at one step."""
    return StepRun.objects.create(run=run, key=key, kind=kind, outcome=outcome, **{"position": 0, **fields})


def make_decision(run: Run, *, tier: Tier = Tier.FULL_REVIEW, **fields: Any) -> Decision:
    """What the rules decided about a run's case."""
    case = run.case
    fields = {
        "facts": run.facts,
        "trace": [{"source": "thresholds", "result": "hit", "words": f"{case.amount} is above £100.00", "tier": tier}],
        "sentence": f"{tier.label.capitalize()}: {case.amount} is above £100.00.",
        "policy": "refund thresholds v1",
        "content_hash": case.content_hash(run.facts),
        **fields,
    }
    return Decision.objects.create(organization_id=run.organization_id, case=case, run=run, tier=tier, **fields)


def make_review(case: Case, *, tier: Tier = Tier.FULL_REVIEW, assignee: User | None = None, **fields: Any) -> Review:
    """An open review with the run and the decision behind it."""
    run = case.runs.order_by("-pk").first() or make_run(case, state=RunState.WAITING)
    decision = make_decision(run, tier=tier)
    settings = TierSettings.objects.filter(organization_id=case.organization_id, tier=tier).first()
    if settings is None:
        settings = make_tiers(case.organization)[tier]
    fields = {
        "state": ReviewState.OPEN,
        "due_at": clock.now() + timedelta(hours=4),
        "content_hash": decision.content_hash,
        **fields,
    }
    return Review.objects.create(
        organization_id=case.organization_id,
        case=case,
        run=run,
        decision=decision,
        settings=settings,
        tier=tier,
        assignee=assignee,
        **fields,
    )


def make_vote(review: Review, voter: User, verdict: Verdict = Verdict.APPROVE, **fields: Any) -> Vote:
    """One person's verdict."""
    code = ReasonCode.objects.filter(organization_id=review.organization_id, verdict=verdict).first()
    if code is None:
        code = make_reasons(review.case.organization)["goods-returned"]
    return Vote.objects.create(
        review=review,
        stage=review.stage,
        voter=voter,
        person_key=person_key(voter),
        verdict=verdict,
        reason_code=code,
        content_hash=review.content_hash,
        **fields,
    )


def make_authorization(run: Run, **fields: Any) -> Authorization:
    """The grant to refund the whole amount of the run's case."""
    case = run.case
    decision = run.decisions.order_by("-pk").first() or make_decision(run, tier=Tier.INSTANT)
    return Authorization.objects.create(
        organization_id=run.organization_id,
        case=case,
        run=run,
        decision=decision,
        amount_minor=case.amount_minor,
        currency=case.currency,
        target=case.target,
        content_hash=decision.content_hash,
        **{"source": Authorization.Source.RULE, "granted_by": "refund rules v1", **fields},
    )


def make_payment(case: Case, *, captured: str = "500.00", **fields: Any) -> Payment:
    """The payment a case would be refunded from."""
    connection = Connection.objects.filter(organization_id=case.organization_id, slug="gateway").first()
    payment, _ = Payment.objects.get_or_create(
        connection=connection or make_connection(case.organization),
        reference=case.target,
        defaults={
            "organization_id": case.organization_id,
            "currency": case.currency,
            "captured_minor": int(Decimal(captured) * 100),
            "read_at": clock.now(),
            **fields,
        },
    )
    return payment


def make_action(run: Run, *, state: ActionState = ActionState.RESERVED, **fields: Any) -> Action:
    """The refund of a run's case, with its authorization and its payment."""
    case, now = run.case, clock.now()
    defaults: dict[str, Any] = {"due_at": now}
    if state == ActionState.SENDING:
        defaults = {"lease_until": now + timedelta(minutes=1), "first_sent_at": now, "attempts": 1, "due_at": now}
    elif state == ActionState.UNKNOWN:
        defaults = {"first_sent_at": now, "attempts": 1, "message": "No answer came.", "due_at": now}
    elif state in (ActionState.SUCCEEDED, ActionState.VERIFIED, ActionState.MISMATCHED):
        defaults = {"first_sent_at": now, "attempts": 1, "succeeded_at": now, "due_at": None}
    if state == ActionState.VERIFIED:
        defaults |= {"verified_at": now, "external_reference": f"re_{run.pk}", "holds_reservation": False}
    payment = fields.pop("payment", None) or make_payment(case)
    return Action.objects.create(
        organization_id=run.organization_id,
        case=case,
        run=run,
        step="refund",
        connection=payment.connection,
        operation="refund",
        authorization=fields.pop("authorization", None) or make_authorization(run),
        payment=payment,
        amount_minor=case.amount_minor,
        currency=case.currency,
        state=state,
        **{**defaults, **fields},
    )


def make_event(
    organization: Organization,
    body: bytes = b'{"type": "refund.requested", "data": {}}',
    *,
    state: EventState = EventState.RECEIVED,
    endpoint: str = "shop",
    **fields: Any,
) -> Event:
    """A fact that arrived."""
    number = next(numbers)
    if state in (EventState.QUARANTINED, EventState.IGNORED):
        fields = {"reason": "The body is not JSON.", "looked_at": clock.now(), **fields}
    return Event.objects.create(
        organization=organization,
        source=f"{organization.slug}/{endpoint}",
        dedupe_key=f"msg_{number}",
        reader="standard",
        body=body,
        body_hash=f"{number:064d}",
        state=state,
        **fields,
    )


def at(row: Any, **columns: Any) -> Any:
    """The row with columns set, moments above all, that are otherwise set by themselves."""
    type(row).objects.filter(pk=row.pk).update(**columns)
    row.refresh_from_db()
    return row
