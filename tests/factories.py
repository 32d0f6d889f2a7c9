"""The rows that tests are about: each function makes one thing, in its usual state unless told otherwise.

Numbers carry meaning: the published thresholds are instant up to £50, fast-track up to £100, people above.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import time, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from django.contrib.auth.hashers import make_password

from accounts.models import BusinessCalendar, Membership, Organization, Person, Team, User
from accounts.roles import Role
from approvals.models import Absence, ReasonCode, Review, Stage, TierSettings, Vote
from approvals.policies import publish_bands
from approvals.states import ReviewState, Verdict
from approvals.voters import person_key
from integrations.models import (
    Action,
    Break,
    Breaker,
    Call,
    Connection,
    Endpoint,
    MaintenanceWindow,
    Payment,
    Reconciliation,
)
from integrations.secrets import encrypt
from integrations.states import ActionState, BreakerState, BreakKind, ReconciliationState
from opsdesk.lib import clock
from opsdesk.settings import BASE_DIR
from workflows import pack_text
from workflows.dry_runs import content_of
from workflows.models import (
    Alert,
    Authorization,
    Bulk,
    BulkItem,
    Case,
    Decision,
    DryRun,
    Event,
    Failure,
    FailureItem,
    Recovery,
    Replay,
    Run,
    StepRun,
    Trigger,
    Workflow,
    WorkflowVersion,
)
from workflows.publishing import publish_pack
from workflows.states import (
    BULK_FINAL,
    CASE_FINAL,
    RUN_FINAL,
    BulkState,
    CaseState,
    EventState,
    FailureKind,
    RecoveryCause,
    RecoveryState,
    RunState,
    Tier,
    WaitsFor,
)

_numbers = count(1)
PACK = (BASE_DIR / "workflows" / "packs" / "refund.yaml").read_text(encoding="utf-8")
_REFUND = pack_text.read(PACK)  # once: reading is a tenth of making a desk
BANDS = {"GBP": [("0", Tier.INSTANT), ("50", Tier.FAST_TRACK), ("100", Tier.FULL_REVIEW)]}
NAMES = {
    "ada": ("Ada", "Okafor", Role.OPERATOR),
    "ben": ("Ben", "Marsh", Role.OPERATOR),
    "maya": ("Maya", "Nowak", Role.MANAGER),
    "tomasz": ("Tomasz", "Kowal", Role.ADMIN),
    "ines": ("Ines", "Lindqvist", Role.AUDITOR),
}


@dataclass(frozen=True)
class Cast:
    """The people of one organization: ada and ben decide, maya manages, tomasz administers, ines audits."""

    ada: User
    ben: User
    maya: User
    tomasz: User
    ines: User

    def __iter__(self) -> Any:
        return iter((self.ada, self.ben, self.maya, self.tomasz, self.ines))


def make_organization(slug: str = "wholesale-uk", *, time_zone: str = "Europe/London", **fields: Any) -> Organization:
    """An organization that trades in pounds and works round the clock."""
    fields = {"name": slug.replace("-", " ").title(), "currency": "GBP", **fields}
    organization = Organization.objects.create(slug=slug, time_zone=time_zone, **fields)
    BusinessCalendar.objects.create(
        organization=organization, weekdays=list(range(7)), opens_at=time(0), closes_at=time(0)
    )
    return organization


def make_member(
    organization: Organization,
    username: str,
    role: Role,
    *,
    first_name: str = "",
    last_name: str = "",
    teams: tuple[Team, ...] = (),
) -> User:
    """A person with one account; without a password, tests sign in by `client.force_login`."""
    first_name = first_name or username.title()
    person = Person.objects.create(name=f"{first_name} {last_name}".strip())
    user = User.objects.create(
        username=username,
        email=f"{username}@desk.example",
        first_name=first_name,
        last_name=last_name,
        person=person,
        is_staff=role == Role.ADMIN,
        password=make_password(None),
    )
    Membership.objects.create(organization=organization, user=user, role=role)
    for team in teams:
        team.members.add(user)
    return user


def make_team(organization: Organization, slug: str) -> Team:
    """A team without members, unless it is there already."""
    return Team.objects.get_or_create(organization=organization, slug=slug, defaults={"name": slug.title()})[0]


def make_cast(organization: Organization, *, suffix: str = "") -> Cast:
    """The five people; `suffix` tells them from others. Ada, Ben and Maya are in the team `refunds`."""
    team = make_team(organization, "refunds")
    people = {
        name: make_member(
            organization,
            f"{name}{suffix}",
            role,
            first_name=first,
            last_name=last,
            teams=(team,) if role in (Role.OPERATOR, Role.MANAGER) else (),
        )
        for name, (first, last, role) in NAMES.items()
    }
    return Cast(**people)


def make_tiers(organization: Organization, *, votes: int = 1, undo_seconds: int = 10) -> dict[Tier, TierSettings]:
    """Settings of all three tiers; the team `refunds` votes."""
    team = make_team(organization, "refunds")
    made = {}
    for tier in Tier:
        wish = {"undo_seconds": undo_seconds}
        made[tier], _ = TierSettings.objects.update_or_create(organization=organization, tier=tier, defaults=wish)
        if tier != Tier.INSTANT:
            Stage.objects.update_or_create(tier=made[tier], position=0, defaults={"team": team, "votes": votes})
    return made


def make_reasons(organization: Organization) -> dict[str, ReasonCode]:
    """One reason to approve, one that asks for a sentence, one to reject; by code."""
    rows = [
        (Verdict.APPROVE, "goods-returned", "Goods came back", ["returned"], False),
        (Verdict.APPROVE, "goodwill", "Goodwill", [], True),
        (Verdict.REJECT, "never-bought", "Not bought from us", ["returned"], False),
    ]
    return {
        code: ReasonCode.objects.create(
            organization=organization,
            verdict=verdict,
            code=code,
            label=label,
            suggested_for=suggested,
            text_needed=text,
            position=position,
        )
        for position, (verdict, code, label, suggested, text) in enumerate(rows)
    }


def make_connection(organization: Organization, slug: str = "gateway", **fields: Any) -> Connection:
    """The gateway, with its endpoint."""
    fields = {
        "name": slug.title(),
        "connector": "stripe",
        "base_url": "http://127.0.0.1:9",
        "secret": encrypt("sk_test_of_the_tests"),
        **fields,
    }
    connection = Connection.objects.create(organization=organization, slug=slug, **fields)
    Endpoint.objects.create(
        organization=organization,
        connection=connection,
        slug=slug,
        scheme=Endpoint.Scheme.STRIPE if connection.connector == "stripe" else Endpoint.Scheme.STANDARD,
        secret=encrypt("whsec_b2YgdGhlIHRlc3Rz"),
    )
    return connection


def make_workflow(organization: Organization) -> Workflow:
    """The shipped refund workflow with its rules, and the thresholds above, all published; with its connection."""
    if not Connection.objects.filter(organization=organization, slug="gateway").exists():
        make_connection(organization)
    if not TierSettings.objects.filter(organization=organization).exists():
        make_tiers(organization)
    team = make_team(organization, "refunds")
    if not team.members.exists():
        make_member(organization, f"voter-of-{organization.slug}", Role.OPERATOR, teams=(team,))
    version = publish_pack(organization, deepcopy(_REFUND), by=None, reason="For a test.")
    publish_bands(version.workflow, BANDS, by=None, reason="For a test.")
    return version.workflow


FORM = {
    "name": "Errands",
    "slug": "errand",
    "case_kind": "errand",
    "triggers": [
        {
            "key": "by-hand",
            "kind": "form",
            "config": {
                "title": "Ask for an errand",
                "lead": "Somebody of the team takes it on.",
                "fields": [
                    {"name": "what", "label": "What is to be done"},
                    {"name": "more", "type": "long_text", "label": "More about it", "required": False},
                    {"name": "amount", "type": "amount", "label": "How much it may cost"},
                    {"name": "currency", "type": "choice", "label": "Currency", "choices": ["GBP", "JPY"]},
                    {"name": "by", "type": "date", "label": "By when", "required": False},
                    {"name": "pieces", "type": "number", "label": "How many", "required": False},
                    {"name": "urgent", "type": "flag", "label": "It is urgent"},
                ],
            },
        }
    ],
    "fields": {"key": "reference", "amount": "amount", "currency": "currency", "requested_by": "requested_by"},
    "steps": [{"key": "rest", "kind": "wait", "config": {"for_minutes": 30}}],
}


def make_form(organization: Organization) -> Trigger:
    """A workflow that begins by a form and then rests; its form as it is in force."""
    return publish_pack(organization, FORM, by=None, reason="For a test.").triggers.get()


def make_desk(slug: str = "wholesale-uk", *, suffix: str = "") -> tuple[Organization, Cast]:
    """An organization with everything a refund needs: people, tiers, reasons, gateway, workflow, rules, thresholds."""
    organization = make_organization(slug)
    cast = make_cast(organization, suffix=suffix)
    make_tiers(organization)
    make_reasons(organization)
    make_workflow(organization)
    return organization, cast


def make_case(
    organization: Organization,
    *,
    amount: str | None = "141.48",
    currency: str = "GBP",
    state: CaseState = CaseState.OPEN,
    **fields: Any,
) -> Case:
    """A request for money back."""
    number = next(_numbers)
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


def published_version(organization: Organization) -> WorkflowVersion:
    """The refund version in force, else another one; the refund workflow is made when there is none at all."""
    versions = WorkflowVersion.objects.filter(workflow__organization=organization, state="published")
    found = versions.filter(workflow__slug="refund").first() or versions.first()
    if found is None:
        found = make_workflow(organization).versions.get(state="published")
    return found


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


def make_absence(
    user: User,
    organization: Organization,
    *,
    days: tuple[int, int] = (0, 7),
    delegate: User | None = None,
    **fields: Any,
) -> Absence:
    """Time off from so many days from today to so many."""
    begins_on, ends_on = (clock.now().date() + timedelta(days=day) for day in days)
    return Absence.objects.create(
        organization=organization, user=user, begins_on=begins_on, ends_on=ends_on, delegate=delegate, **fields
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


def make_window(connection: Connection, *, minutes: float = 60, **fields: Any) -> MaintenanceWindow:
    """Maintenance that has begun and lasts for so many minutes more."""
    now = clock.now()
    fields = {"starts_at": now - timedelta(minutes=1), "reason": "They move house.", **fields}
    return MaintenanceWindow.objects.create(connection=connection, ends_at=now + timedelta(minutes=minutes), **fields)


def make_open_breaker(connection: Connection, operation: str = "refund", **fields: Any) -> Breaker:
    """A breaker that calls opened, half a minute before its next try."""
    fields = {"state": BreakerState.OPEN, "probe_at": clock.now() + timedelta(seconds=30), **fields}
    fields = {"reason": "12 of 14 calls failed within 30 s.", "moved_at": clock.now(), **fields}
    return Breaker.objects.create(connection=connection, operation=operation, **fields)


def make_call(connection: Connection, *, outcome: str = "ok", **fields: Any) -> Call:
    """One request to the outside and what came back."""
    fields = {
        "operation": "refund",
        "method": "POST",
        "path": "/v1/refunds",
        "status": 200 if outcome == "ok" else 503,
        "milliseconds": 40,
        **fields,
    }
    return Call.objects.create(connection=connection, outcome=outcome, **fields)


def make_failure(
    organization: Organization, *, message: str = "The request has no amount.", items: int = 1, **fields: Any
) -> Failure:
    """A cause with so many stopped runs, each of a case that needs repair."""
    fields = {
        "fingerprint": f"{next(_numbers):064d}",
        "workflow": "refund",
        "step": "decide",
        "kind": FailureKind.DATA,
        **fields,
    }
    failure = Failure.objects.create(organization=organization, message=message, **fields)
    for _ in range(items):
        run = make_run(make_case(organization, state=CaseState.FAILED), state=RunState.FAILED, reason=message)
        FailureItem.objects.create(failure=failure, run=run, detail=message)
    return failure


def make_replay(organization: Organization, by: User) -> Replay:
    """The run of a failure is to be tried again."""
    failure = make_failure(organization)
    return Replay.objects.create(failure=failure, by=by, reason="Mended.", wanted=1, last_item=failure.items.get().pk)


def make_dry_run(organization: Organization, *, by: User, **fields: Any) -> DryRun:
    """A finished look back with the rules in force, at no case."""
    rule_set = published_version(organization).workflow.rule_sets.get(state="published")
    defaults = {"state": "done", "ended_at": clock.now(), "content": content_of(rule_set), "total": 0}
    return DryRun.objects.create(organization=organization, rule_set=rule_set, by=by, **{**defaults, **fields})


def make_alert(organization: Organization | None, **fields: Any) -> Alert:
    """Something that is wrong with the desk itself."""
    fields = {
        "kind": "workflow_quiet",
        "subject": f"workflow {next(_numbers)}",
        "words": "Refund has not begun for 3 hours. Look whether the shop sends its webhooks.",
        **fields,
    }
    return Alert.objects.create(organization=organization, **fields)


def make_reconciliation(organization: Organization, **fields: Any) -> Reconciliation:
    """A comparison with the gateway that is done, and found everything as it should be."""
    connection = Connection.objects.filter(organization=organization, slug="gateway").first()
    defaults = {"state": ReconciliationState.DONE, "ended_at": clock.now(), "due_at": None}
    return Reconciliation.objects.create(
        organization=organization,
        connection=connection or make_connection(organization),
        **{"since": clock.now() - timedelta(days=7), **defaults, **fields},
    )


def make_break(organization: Organization, *, kind: BreakKind = BreakKind.MISSING_HERE, **fields: Any) -> Break:
    """A refund of £3.00 that the gateway has and the desk does not."""
    found_in = fields.pop("found_in", None) or make_reconciliation(organization, found=1)
    number = next(_numbers)
    fields = {
        "reference": f"re_{number}",
        "payment_reference": f"pi_{number}",
        "theirs_minor": 300,
        "theirs_currency": "GBP",
        "words": "The gateway refunded £3.00; the desk has not heard of it.",
        **fields,
    }
    return Break.objects.create(
        organization=organization,
        connection=found_in.connection,
        kind=kind,
        found_in=found_in,
        seen_in=found_in,
        **fields,
    )


def make_recovery(organization: Organization, *, ended: bool = False, **fields: Any) -> Recovery:
    """The database of the organization was put back."""
    fields = {
        "cause": RecoveryCause.TIDE,
        "reason": "The database is from noon: its mark is 2, and 5 was seen outside before.",
        "since": clock.now() - timedelta(hours=2),
        **fields,
    }
    if ended:
        fields |= {"state": RecoveryState.ENDED, "ended_at": clock.now()}
    return Recovery.objects.create(organization=organization, **fields)


def make_event(
    organization: Organization,
    body: bytes = b'{"type": "refund.requested", "data": {}}',
    *,
    state: EventState = EventState.RECEIVED,
    endpoint: str = "shop",
    **fields: Any,
) -> Event:
    """A fact that arrived."""
    number = next(_numbers)
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


def make_bulk(
    organization: Organization,
    by: User,
    *,
    count: int = 1,
    state: BulkState = BulkState.RUNNING,
    kind: str = "runs.pause",
    runs: Sequence[Run] = (),
) -> Bulk:
    """A bulk that does something to these runs, or to so many new ones; none of them is done yet."""
    runs = runs or [make_run(make_case(organization)) for _ in range(count)]
    started = {} if state == BulkState.PREVIEW else {"started_at": clock.now(), "reason": "The shop asked."}
    ended = {"ended_at": clock.now()} if state in BULK_FINAL else {}
    bulk = Bulk.objects.create(
        organization=organization,
        kind=kind,
        selection={"ticked": True},
        by=by,
        state=state,
        total=len(runs),
        looked_at=clock.now(),
        **started,
        **ended,
    )
    BulkItem.objects.bulk_create(BulkItem(bulk=bulk, subject_id=run.pk, label=f"RUN-{run.pk}") for run in runs)
    return bulk
