"""Opening, correcting, withdrawing and closing cases. Whoever decides anything about a case first locks its row."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime

from accounts.models import User
from auditlog.services import Actor, record
from opsdesk.lib import clock, queue
from opsdesk.lib.errors import DomainError
from opsdesk.lib.money import BadAmount, Money
from workflows import registry
from workflows.engine import failing, turns, waking
from workflows.models import Case, Correction, Run, WorkflowVersion
from workflows.states import CASE_FINAL, RUN_ACTIVE, CaseState, RunState

# Fields of the request a person may correct, in the words of the form.
CORRECTABLE = ("reference", "amount", "currency", "order", "payment", "customer", "requested_at")


class NothingToCorrect(DomainError):
    """The correction changes nothing."""

    message = "Nothing was changed."


class NotCorrectable(DomainError):
    """The case is closed, or money may already be under way."""

    message = "This case can no longer be corrected."


def content_from(fields: Mapping[str, str], data: Mapping[str, Any], *, unnamed: str) -> dict[str, Any]:
    """Case columns from a request's data by a version's field map; what is wrong becomes sentences in `problems`.

    `unnamed` is the key of a request that brings no usable reference of its own.
    """
    problems: list[str] = []
    key = key_of(fields, data, problems)
    if not key:
        problems.append(f"The request has no usable {fields.get('key', 'reference')}: give it one.")
    # A workflow that says nothing of an amount has cases without one.
    amount = None
    if "amount" in fields:
        amount = _amount(data.get(fields["amount"]), data.get(fields.get("currency", "")), problems)
    return {
        "key": key or unnamed,
        "target": _text(data, fields.get("target", ""), 100, problems),
        "party": _text(data, fields.get("party", ""), 100, problems),
        # Said by the requester and only shown: nothing to be wrong about.
        "reason": _text(data, fields.get("reason", ""), 60),
        "requested_by": _text(data, fields.get("requested_by", ""), 120),
        "amount_minor": amount.minor if amount else None,
        "currency": amount.currency if amount else "",
        "requested_at": _moment(data.get(fields.get("moment", "")), problems),
        "data": dict(data),
        "problems": problems,
    }


def key_of(fields: Mapping[str, str], data: Mapping[str, Any], problems: list[str] | None = None) -> str:
    """The sender's own number of a case, by a version's field map; empty when there is none that can be used."""
    return _text(data, fields.get("key", ""), 100, [] if problems is None else problems)


def _text(data: Mapping[str, Any], name: str, limit: int, problems: list[str] | None = None) -> str:
    """A text of the request. With `problems` it must be one and fit; without, what does not is left out or cut."""
    value = data.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        problem = f"{name} must be a text."
    elif len(value.strip()) > limit:
        problem = f"{name} is longer than {limit} characters."
    else:
        return value.strip()
    if problems is None:
        return value[:limit] if isinstance(value, str) else ""
    # Half a reference could be somebody else's.
    problems.append(problem)
    return ""


def _amount(text: object, currency: object, problems: list[str]) -> Money | None:
    try:
        amount = Money.parse(text, currency)
    except BadAmount as refusal:
        problems.append(str(refusal))
        return None
    if amount.minor <= 0:
        problems.append(f"{amount} cannot be refunded: the amount must be above zero.")
        return None
    return amount


def _moment(value: object, problems: list[str]) -> datetime | None:
    if value is None:
        return None
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        problems.append(f"“{str(value)[:40]}” is not a moment with its zone, such as 2026-03-01T10:30:00Z.")
        return None
    return moment


def locked(case_id: int) -> Case:
    """The case under its row lock, which every decision about it takes first."""
    return Case.objects.select_for_update(of=("self",)).get(pk=case_id)


@transaction.atomic
def correct(case_id: int, *, by: User, changes: Mapping[str, str], reason: str) -> Case:
    """Change the request's data; consent already given is void, and the run starts over with the new content.

    Raises NotCorrectable, NothingToCorrect. Whoever corrects does not vote on the result.
    """
    case = locked(case_id)
    run = Run.objects.select_for_update(of=("self",)).filter(case=case).order_by("-pk").first()
    if case.state in CASE_FINAL or run is None or run.state == RunState.RUNNING or run.acts:
        raise NotCorrectable
    changed = {
        name: value.strip() or None
        for name, value in changes.items()
        if name in CORRECTABLE and value.strip() != str(case.data.get(name) or "")
    }
    if not changed:
        raise NothingToCorrect
    data = {**case.data, **changed}
    version: WorkflowVersion = run.version
    content = content_from(version.fields, data, unnamed=case.key)
    if (
        content["key"] != case.key
        and Case.objects.filter(organization_id=case.organization_id, kind=case.kind, key=content["key"]).exists()
    ):
        raise NotCorrectable(f"There is already a case with the reference {content['key']}.")
    Correction.objects.create(case=case, user=by, before=case.data, after=data, reason=reason)
    record(
        "workflows.case.corrected",
        actor=Actor.person(by),
        organization_id=case.organization_id,
        subject=("case", case.pk),
        case_id=case.pk,
        before={name: case.data.get(name) for name in changed},
        after=changed,
        reason=reason,
    )
    void_consent(case, f"{by} corrected the request")
    for name, value in content.items():
        setattr(case, name, value)
    case.save(update_fields=list(content))
    from workflows.engine.repairing import start_over

    start_over(run, case, by=by, reason=reason)
    return case


def void_consent(case: Case, reason: str) -> None:
    """Tell those who asked people about the case that it is no longer what it was; the caller holds its lock."""
    for listener in registry.withdrawals:
        listener(case, reason)


@transaction.atomic
def withdraw(case_id: int, *, actor: Actor, reason: str) -> bool:
    """Close an open case without effect. False when it is already closed or its refund is under way."""
    case = locked(case_id)
    runs = list(Run.objects.select_for_update(of=("self",)).filter(case=case, state__in=[*RUN_ACTIVE, RunState.FAILED]))
    if case.state in CASE_FINAL or any(run.acts for run in runs):
        return False
    for run in runs:
        run.move_to(
            RunState.CANCELED,
            ended_at=Now(),
            wake_at=None,
            lease_until=None,
            waits_for="",
            waits_on="",
            paused_at=None,
            paused_why="",
            reason=reason[:300],
        )
        turns.pass_on(run)
        failing.take_off(run, actor=actor, reason="Its last case was withdrawn.")
        waking.parent_of(run)
    void_consent(case, reason)
    case.move_to(CaseState.CANCELED, closed_at=Now(), standing=reason[:200])
    registry.tell_ending(case, CaseState.CANCELED, reason)
    record(
        "workflows.case.withdrawn",
        actor=actor,
        organization_id=case.organization_id,
        subject=("case", case.pk),
        case_id=case.pk,
        reason=reason,
    )
    return True


def open_withdrawn(organization_id: int, kind: str, key: str, *, actor: Actor) -> Case:
    """The closed case of a withdrawal that came before its request: the request, when it comes, finds it there."""
    case = Case.objects.create(
        organization_id=organization_id,
        kind=kind,
        key=key,
        state=CaseState.CANCELED,
        closed_at=clock.now(),
        standing="Withdrawn before it was requested.",
    )
    for verb in ("opened", "withdrawn"):
        record(
            f"workflows.case.{verb}",
            actor=actor,
            organization_id=organization_id,
            subject=("case", case.pk),
            case_id=case.pk,
            reason="The withdrawal came before the request.",
        )
    return case


def ring() -> None:
    """Have the workers look for due runs once this transaction has committed."""
    queue.ring("workflows.tick")
